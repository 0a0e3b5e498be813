"""A search from its config to its registered model: the parts, put together."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import optuna
from optuna.trial import TrialState
from ray.tune import CheckpointConfig, RunConfig, TuneConfig, Tuner, with_resources
from ray.tune.experiment import Trial
from rich.console import Console

from trainable.ray_trainable import FineTuneTrainable
from tune.config.schema import SearchConfig
from tune.engine.bridge import LedgerCallback, LedgerSearcher, Watcher
from tune.engine.cluster import TrialResources, fit_resources, start_ray
from tune.engine.fractions import measure, trials_per_gpu
from tune.engine.preflight import check_unchanged, settle
from tune.engine.progress import Progress
from tune.engine.signals import interrupted
from tune.engine.stopping import GiveUp, TimeBudget
from tune.engine.watchers import DropUnneeded
from tune.errors import ConfigError, Halt
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist, confirmation, finalists, ranked, study_of
from tune.strategy.schedulers import build_scheduler
from tune.study.folder import Search, SearchHome
from tune.study.ledger import Ledger, open_ledger, storage_url
from tune.study.trial import TrialLog
from tune.tracking.writer import RecordWriter, UnrecordedError

_GOODBYE_SECONDS: Final = 8.0
"""How long an interrupted search waits for its record to be closed."""

_RAY: Final = "ray"
"""Folder, in the search's, of what Ray writes; nothing reads it again."""


def start_search(config: SearchConfig, home: SearchHome, console: Console) -> SearchResults:
    """Begin a search, and run it to its end.

    Args:
        config: The search.
        home: A folder in which no search was begun.
        console: Where progress is shown.

    Raises:
        ConfigError: The data, the weights or the resources cannot be had. Nothing has
            been written then.
        Halt: It cannot go on for now.
    """
    _prepare(config)
    search = settle(config, home.name, console)
    resources = _share(search.config, console)
    home.begin(search)
    try:
        ledger = open_ledger(search.config, home.name, search.identity, storage_url(search.config))
    except ConfigError:
        home.discard()
        raise
    console.print(f"resume   python -m tune.search --resume {home.name}", soft_wrap=True)
    return _run(search, home, ledger, resources, console)


def resume_search(search: Search, home: SearchHome, console: Console) -> SearchResults:
    """Go on with a search.

    Args:
        search: As it was begun, and perhaps extended since.
        home: Its folder, locked.
        console: Where progress is shown.

    Raises:
        ConfigError: The data or the weights have changed since, or cannot be had.
        Halt: It cannot go on for now.
    """
    config = search.config
    _prepare(config)
    now = settle(config, search.name, console)
    check_unchanged(search, now)
    resources = _share(config, console)
    ledger = open_ledger(config, search.name, search.identity, storage_url(config))
    console.print(f"resumed  with {ledger.ended} of {config.budget.num_samples} trials ended")
    return _run(search, home, ledger, resources, console)


def _prepare(config: SearchConfig) -> None:
    """Start Ray, leave the terminal to the progress, and check that a trial could ever start."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # A trial's error is told in its line and its run, not as a traceback in between; and what
    # MLflow's store cannot write is written later, or told at the end.
    for name in ("ray.tune", "ray.air", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    start_ray()
    fit_resources(config.resources)


def _share(config: SearchConfig, console: Console) -> TrialResources:
    """What each trial gets; with `resources.gpu=auto`, by the memory that it needs."""
    resources = fit_resources(config.resources)
    if config.resources.gpu != "auto" or resources.gpu == 0:
        return resources
    need = measure(config)
    if need is None:
        console.print("gpu      what a trial takes of its memory could not be measured")
        return resources
    gigabytes = f"{need.peak / 10**9:.1f} GB of {need.total / 10**9:.1f} GB"
    console.print(f"gpu      {gigabytes} by the heaviest trial")
    return fit_resources(config.resources, trials_per_gpu(need))


def _run(
    search: Search, home: SearchHome, ledger: Ledger, resources: TrialResources, console: Console
) -> SearchResults:
    """Run what trials are left, the best ones again, and then test and register the winner."""
    writer = RecordWriter(search, ledger)
    through = False
    try:
        run = partial(_run_trials, home=home, resources=resources, writer=writer, console=console)
        run(ledger)
        chosen = finalists(ledger.trials.values(), max(1, search.config.confirm.top_k))
        confirmed = _open_confirmation(search, chosen)
        runs: Iterable[TrialLog] = ()
        if confirmed is not None:
            writer.ledgers.append(confirmed)
            run(confirmed)
            runs = confirmed.trials.values()
        order = ranked(chosen, runs)
        results = _conclude(search, home, order, (ledger, confirmed), writer)
        through = True
    finally:
        if not through:
            _say_goodbye(writer)
    return results


def _open_confirmation(search: Search, chosen: Sequence[TrialLog]) -> Ledger | None:
    """The ledger of the finalists' runs under other seeds, if there are to be any."""
    if search.config.confirm.top_k == 0 or not chosen:
        return None
    config, name = confirmation(search.config, chosen), study_of(search.name)
    return open_ledger(config, name, search.identity, storage_url(config), "confirm")


def _run_trials(
    ledger: Ledger,
    home: SearchHome,
    resources: TrialResources,
    writer: RecordWriter,
    console: Console,
) -> None:
    """Run trials until as many have ended as were asked for, or the time is up."""
    config, drop = ledger.config, DropUnneeded(home, ledger.kind)
    for log in ledger.trials.values():  # a kill may have come before it was done
        drop.changed(log)
    left = ledger.asked - ledger.ended
    if left <= 0:
        return
    what = "trials  " if ledger.kind == "trial" else "again   "
    console.print(f"{what} {left}, {resources.describe()}")
    budget = TimeBudget(config.budget.time)
    with Progress(ledger, console) as progress:
        watchers: list[Watcher] = [writer, progress, drop, GiveUp(left)]
        tuner = Tuner(
            with_resources(FineTuneTrainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
            tune_config=TuneConfig(
                search_alg=LedgerSearcher(ledger, home, resources),
                scheduler=build_scheduler(ledger),
                num_samples=-1,  # the searcher says when there are no more
                max_concurrent_trials=resources.concurrent,
                reuse_actors=True,
                trial_dirname_creator=_folder_name,
            ),
            run_config=_run_config(
                home, budget, LedgerCallback(ledger, watchers, config.budget.max_failures)
            ),
        )
        tuner.fit()
        if interrupted():  # within Ray's code, what a signal raises may be lost
            raise KeyboardInterrupt
        if budget.stop_all():
            _end_unfinished(ledger, watchers)
        elif ledger.ended < ledger.asked:
            raise Halt("Ray has ended before the last trial did")


def _run_config(home: SearchHome, budget: TimeBudget, callback: LedgerCallback) -> RunConfig:
    shutil.rmtree(home.folder / _RAY, ignore_errors=True)  # of a run before this one
    return RunConfig(
        name=_RAY,
        storage_path=str(home.folder),
        stop=budget,
        callbacks=[callback],
        checkpoint_config=CheckpointConfig(checkpoint_at_end=False),  # trials keep their own
        verbose=0,
    )


def _folder_name(trial: Trial) -> str:
    return Path(trial.config["folder"]).name


def _end_unfinished(ledger: Ledger, watchers: Sequence[Watcher]) -> None:
    """Note that the time was up for what was running."""
    for log in ledger.unfinished:
        if log.epochs:
            ledger.end(log.number, TrialState.PRUNED)
        else:
            ledger.end(log.number, TrialState.FAIL, "the time was up before its first epoch")
        for watcher in watchers:
            watcher.changed(log)


def _conclude(
    search: Search,
    home: SearchHome,
    order: Sequence[Finalist],
    ledgers: tuple[Ledger, Ledger | None],
    writer: RecordWriter,
) -> SearchResults:
    """Test and register the winner, and close the record."""
    from tune.engine.conclusion import conclude  # with MLflow, which the record's thread has by now

    results = conclude(search, home, order, ledgers, writer)
    if results.unrecorded is None:
        home.save(search.model_copy(update={"concluded": True}))
        shutil.rmtree(home.folder / _RAY, ignore_errors=True)
    return results


def _say_goodbye(writer: RecordWriter) -> None:
    """Close the record as far as that is quickly done; what is left is done on a resume."""
    if not writer.begun:
        return
    from tune.tracking.record import FAILURES

    with suppress(UnrecordedError, *FAILURES):
        writer.finish(_GOODBYE_SECONDS).close("KILLED")
