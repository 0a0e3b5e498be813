"""A search from its config to its registered model: the parts, put together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from tune.base.commands import to_resume
from tune.base.errors import ConfigError, first_line
from tune.config.schema import SearchConfig
from tune.engine.allowance import Allowance, measure_load, undone
from tune.engine.node_images import check_images
from tune.engine.preflight import check_unchanged, choose_points, resolve, say_refit
from tune.engine.readiness import prepare, share_of_each
from tune.engine.reruns import Reruns
from tune.engine.resources import TrialResources
from tune.engine.signals import interrupt
from tune.engine.stopping import TimeBudget
from tune.engine.trials import clear_away, run_trials
from tune.engine.watchers import drop_former
from tune.reporting.results import SearchResults
from tune.reporting.soundness import write_data_page
from tune.strategy.choice import Choice
from tune.strategy.confirmation import Finalist
from tune.strategy.portfolio import open_search
from tune.strategy.refit import is_refitted, refit_of
from tune.strategy.scheduling import build_scheduler
from tune.study.away import halting
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger, Ledgers
from tune.study.opening import check_name, check_study, conclude_study, reopen_cut_short
from tune.study.search import Search
from tune.study.stopwatch import Stopwatch
from tune.tracking.writer import RecordWriter, UnrecordedError

_GOODBYE_SECONDS: Final = 8.0
"""How long an interrupted search waits for its record to be closed."""


@halting()
def start_search(
    config: SearchConfig,
    home: SearchFolder,
    console: Console,
    watch: Stopwatch | None = None,
    on_loss: Callable[[str], None] = interrupt,
) -> SearchResults:
    """Begin a search, and run it to its end.

    Args:
        config: The search.
        home: A folder in which no search was started.
        console: Where progress is shown.
        watch: Started with the command, where its time budget counts from there.
        on_loss: As :meth:`~tune.study.holding.Hold.take` has it: stops this process's search.

    Raises:
        ConfigError: The data, the weights or the resources are not available. Nothing has
            been written then.
        Halt: It cannot go on for now.
    """
    watch = watch or Stopwatch(home)
    prepare(config, console)
    search = resolve(config, home.name, console)
    say_refit(config, search, console)
    search = choose_points(search, console)
    check_images(search, console)
    resources = share_of_each(search.config, console)
    check_name(search)
    home.begin(search, on_loss)
    try:
        ledger = open_search(search)
    except ConfigError:
        home.discard()
        raise
    if home.shared is not None:
        home.shared.commit(search)  # what it has by now, a resume goes on with
    say_fewer(ledger, console)
    console.print(f"resume   {to_resume(home.name)}", soft_wrap=True)
    with watch.noting():
        return _run(search, home, ledger, resources, console, watch)


@halting()
def resume_search(
    search: Search, home: SearchFolder, console: Console, watch: Stopwatch | None = None
) -> SearchResults:
    """Go on with a search.

    Args:
        search: As it was started, and perhaps extended since.
        home: Its folder, locked.
        console: Where progress is shown.
        watch: Started with the command, it knows of the time that was taken before.

    Raises:
        ConfigError: The data or the weights have changed since or are not available, or the
            study is gone.
        Halt: It cannot go on for now.
    """
    config, watch = search.config, watch or Stopwatch(home)
    with watch.noting():
        prepare(config, console)
        now = resolve(config, search.name, console)
        check_unchanged(search, now)
        check_images(search, console)
        resources = share_of_each(config, console)
        if home.has_trials:
            check_study(search)
        if config.budget.time is None or watch.elapsed < config.budget.time:
            reopen_cut_short(search, search.name)
        ledger = open_search(search)
        console.print(f"resumed  with {ledger.ended} of {ledger.asked} trials ended")
        say_fewer(ledger, console)
        return _run(search, home, ledger, resources, console, watch)


def say_fewer(ledger: Ledger, console: Console) -> None:
    """Say so where a space holds fewer different trials than were asked for."""
    asked = ledger.config.budget.num_samples
    if ledger.asked < asked:
        console.print(
            f"space    holds no more different trials than {ledger.asked}, of {asked} asked for"
        )


def say_reached(ledger: Ledger, console: Console) -> None:
    """Say that the target has been reached, and by how many trials of those asked for."""
    target, name = ledger.config.budget.target, ledger.objective.name
    trials = f"by {len(ledger.trials)} of {ledger.asked} trials"
    console.print(f"target   {name} {ledger.objective.show(target)} reached {trials}")


def _run(
    search: Search,
    home: SearchFolder,
    ledger: Ledger,
    resources: TrialResources,
    console: Console,
    watch: Stopwatch,
) -> SearchResults:
    """Run what trials are left, confirm the best ones, and then test and register the winner."""
    config, recorded = search.config, False
    whole = load_dataset(config.data.unfolded, config.cache.of_images)
    page = partial(_data_page, home, config.data, whole)
    writer = RecordWriter(search, ledger, at_start=page)
    choice = Choice.of(search)
    allowance = _allowance(choice, resources, watch)
    run = partial(
        run_trials,
        choice=choice,
        home=home,
        resources=resources,
        fingerprint=search.data_fingerprint,
        weights_hash=search.weights_hash,
        search=search.identity,
        record=writer,
        console=console,
        elapsed=lambda: watch.this_run,
    )
    try:
        budget = TimeBudget(
            lambda: allowance.for_trials(ledger),
            lambda: allowance.after_trials(ledger),
            lambda: allowance.remaining,
        )
        scheduler = build_scheduler(config)
        run(ledger, scheduler, budget)
        reached = scheduler.has_enough(ledger)
        if reached:
            say_reached(ledger, console)
        timed = config.budget.time is not None
        count = max(1, config.confirm.top_k)
        chosen = choice.finalists(ledger.trials.values(), count, timed=timed)
        reruns = Reruns(search, ledger, allowance, writer, run, console)
        confirmed = reruns.confirm(chosen)
        order = choice.ranked(chosen, confirmed.trials.values() if confirmed is not None else ())
        refitted = reruns.refit(order)
        no_soup = allowance.lacks_soup(ledger, chosen) if confirmed is not None else None
        is_refit = refitted is not None and refit_of(order[0], refitted) is not None
        lacks_soup = no_soup is not None and not is_refit
        if lacks_soup:
            console.print(f"soup     skipped: {no_soup}")
        ledgers = Ledgers(ledger, confirmed, refitted)
        with_soup = no_soup is None
        say = partial(console.print, "end     ", soft_wrap=True, markup=False)
        ends = partial(_conclude, with_soup=with_soup, say=say)
        results = ends(search, home, order, ledgers, writer, resources)
        recorded = True
    finally:
        if not recorded:
            _close_record(writer, home)
    refits = bool(order) and is_refitted(config, order[0])
    left = undone(config, chosen, ledgers, refits=refits, lacks_soup=lacks_soup)
    results = replace(results, undone=left)
    if results.unfinished is None:
        _note_end(search, home, ledger, is_cut_short=bool(results.undone), has_reached=reached)
        if confirmed is not None:
            drop_former(home, confirmed, order)
    return results


def _note_end(
    search: Search, home: SearchFolder, ledger: Ledger, *, is_cut_short: bool, has_reached: bool
) -> None:
    """Store that a search is concluded, and clear away what nobody needs then."""
    end = {"concluded": True, "cut_short": is_cut_short, "reached_target": has_reached}
    concluded = search.model_copy(update=end)
    conclude_study(ledger, concluded)
    home.save(concluded)
    clear_away(home)


def _data_page(home: SearchFolder, data: DataConfig, dataset: Dataset) -> list[Path]:
    """The page about the images, made once; none where it cannot be made, which ends no search."""
    try:
        return [write_data_page(home.folder, data, dataset)]
    except Exception as error:  # noqa: BLE001 - of policies that plugins add
        warnings.warn(
            f"the page about the images is not written: {first_line(error)}", stacklevel=2
        )
        return []


def _allowance(choice: Choice, resources: TrialResources, watch: Stopwatch) -> Allowance:
    config, on_gpu = choice.config, resources.gpu > 0
    dataset = load_dataset(config.data, config.cache.of_images)  # which has been loaded before
    load = measure_load(config, dataset, watch, resources.concurrent, on_gpu=on_gpu)
    return Allowance(choice, watch, load)


def _conclude(
    search: Search,
    home: SearchFolder,
    order: Sequence[Finalist],
    ledgers: Ledgers,
    writer: RecordWriter,
    resources: TrialResources,
    *,
    with_soup: bool,
    say: Callable[[str], None],
) -> SearchResults:
    """Test and register the winner, and close the record."""
    from tune.engine.conclusion import conclude  # with MLflow, which the record's thread has by now

    return conclude(
        *(search, home, order, ledgers, writer), with_soup=with_soup, resources=resources, say=say
    )


def _close_record(writer: RecordWriter, home: SearchFolder) -> None:
    """Close the record as far as that is quickly done; what is left is done on a resume.

    Not where another process may run the search, whose record it is then.
    """
    if not (writer.started and home.is_own):
        return
    from tune.tracking.client import FAILURES

    with suppress(UnrecordedError, *FAILURES):
        writer.finish(_GOODBYE_SECONDS).close("KILLED")
