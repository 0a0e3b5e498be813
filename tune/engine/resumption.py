"""A search that goes on where it was started before, on whatever machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from trainable.judging.objective import Objective
from tune.base.errors import ConfigError
from tune.config.durations import duration_text
from tune.config.loading import check_files, with_budget
from tune.config.loggers import check_loggers
from tune.config.schema import SearchConfig
from tune.engine.signals import interrupt
from tune.study.away import waited_for
from tune.study.folder import SearchFolder
from tune.study.lookup import find_folder, known
from tune.study.search import Search
from tune.study.searches import checked_name
from tune.study.stopwatch import Stopwatch
from tune.tracking.server import why_away

if TYPE_CHECKING:
    from tune.reporting.results import SearchResults

from tune.engine.launch import Launch, checked_config, new_search, usable_home, with_addresses

_PATIENCE: Final = 150.0
"""Seconds for which a search is waited for whose driver may be dead: PostgreSQL notices within a
minute that a machine is gone."""
_STUDY_PATIENCE: Final = 120.0
"""Seconds for which a study is waited for whose server is away, as in the middle of a search."""


def resumed_or_new_search(
    given: Path | None,
    words: Sequence[str],
    name: str,
    budget: Mapping[str, str],
    say: Callable[[str], None] = lambda _: None,
) -> Launch:
    """A search that goes on where it was started before, on whatever machine, and else is started.

    The same command may be given again and again, by whatever restarts a job. A driver that a
    machine has lost may hold the search's turn for a while, also one that had no study yet: it is
    waited for. So is the server of the study, which may have gone together with the job.

    Args:
        given: The config of a new search: a file or a preset, or the default.
        words: Overrides of the config's keys.
        name: The search's name.
        budget: Values of keys of `budget`, by their last names, which may be new.
        say: Says that a server is waited for.

    Raises:
        ConfigError: It could not run, or a process is running it.
    """
    config = with_addresses(checked_config(given, words))
    where = (config.tracking.storage, config.tracking.study)
    name = checked_name(name, "--resume-or-start")

    def look() -> Search | None:
        return waited_for(lambda: known(find_folder(name, *where)), _STUDY_PATIENCE, say)

    before = look()
    if before is None:
        home = usable_home(config, name)
        home.lock(_PATIENCE, interrupt)
        try:
            before = look()  # of a start that was under way
            if before is None:
                return new_search(given, words, name, home=home)
        except BaseException:
            home.abandon()
            raise
        home.release()
    new = _changed(before.config, budget)
    return resumed_search(name, new, *where, patience=_PATIENCE)


def _changed(config: SearchConfig, budget: Mapping[str, str]) -> dict[str, str]:
    """The values of keys of `budget` that are not those of a search, by their last names."""
    wanted, had = with_budget(config, budget).budget, config.budget
    return {key: text for key, text in budget.items() if getattr(wanted, key) != getattr(had, key)}


def resumed_search(
    name: str,
    budget: Mapping[str, str],
    storage: str | None = None,
    study: str | None = None,
    *,
    patience: float = 0.0,
    on_loss: Callable[[str], None] = interrupt,
) -> Launch:
    """A search that was started before.

    Args:
        name: Its name.
        budget: New values of keys of `budget`, by their last names.
        storage: Its storage, where it is not known here.
        study: The URL of its study's storage, where it is not known here.
        patience: Seconds for which another process that runs it is waited for, and the storage.
        on_loss: As :meth:`~tune.study.holding.Hold.take` has it: stops this process's search.

    Raises:
        ConfigError: There is no such search, or it could not run.
    """
    home = find_folder(checked_name(name, "--resume"), storage, study)
    found = home.load()  # an unknown name leaves no folder
    if home.shared is not None:
        home.shared.commit(found, patience)  # if a kill came before it was
    home.lock(patience, on_loss)
    watch = Stopwatch(home)
    try:
        search = _checked(home, budget, watch)
        away = None if search.concluded else why_away(search.config.tracking.uri)
    except BaseException:
        home.release()
        raise

    def run(console: Console) -> SearchResults:
        from tune.engine.runner import resume_search

        if away is not None:
            said = f"record   {away}; the search goes on, and the record catches up"
            console.print(said, soft_wrap=True, markup=False)
        return resume_search(search, home, console, watch)

    ended = (search.concluded, search.cut_short, search.reached_target)
    return Launch(home, search.config, run, *ended)


def _checked(home: SearchFolder, budget: Mapping[str, str], watch: Stopwatch) -> Search:
    """A search as it is to go on, its new budget stored.

    Raises:
        ConfigError: It could not run.
    """
    search = home.load()
    if budget:
        search = _extended(search, budget, watch.elapsed)
    if not search.concluded:
        check_files(search.config)
        check_loggers(search.config.tracking.also)
        home.save(search)
    return search


_OPTIONS: Final = {"num_samples": "--num-samples", "time": "--time-budget", "target": "--target"}
"""The options that change a search's budget, by its keys."""


def _extended(search: Search, budget: Mapping[str, str], elapsed: float) -> Search:
    """The search with more trials, more time or another target.

    Raises:
        ConfigError: With these it could not go on.
    """
    config, before = with_budget(search.config, budget), search.config.budget
    given = " ".join(f"{_OPTIONS[key]} {value}" for key, value in budget.items())
    now = config.budget
    if now.time is not None and now.time <= elapsed:
        if "time" not in budget:
            used = f"the search has used up its {duration_text(now.time)}; add --time-budget MORE"
            raise ConfigError(f"{given}: {used}")
        raise ConfigError(
            f"--time-budget {now.time:g}s: it is counted over all runs of a search, and this "
            f"one has taken {duration_text(round(elapsed))}; give more"
        )
    done = search.reached_target and not search.cut_short
    if done and not _is_harder(config, search.config):
        more = "give more" if "target" in budget else "add --target MORE"
        raise ConfigError(
            f"{given}: the search has reached its target of {before.target:g}; {more}"
        )
    if now.num_samples < before.num_samples:
        raise ConfigError(
            f"--num-samples {now.num_samples}: the search has {before.num_samples}; give more"
        )
    ended = {"concluded": False, "cut_short": False, "reached_target": False}
    return search.model_copy(update={"config": config, **ended})


def _is_harder(config: SearchConfig, before: SearchConfig) -> bool:
    """Whether a target is harder to reach than that of before."""
    target, reached = config.budget.target, before.budget.target
    signed = Objective.named(config.objective.metric).signed
    return target is None or reached is None or signed(target) > signed(reached)
