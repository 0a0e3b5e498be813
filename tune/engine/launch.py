"""A search that is decided and checked, before anything slow is loaded to run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from trainable.files.places import why_not_writable
from trainable.judging.objective import Objective
from tune.base.commands import to_resume
from tune.base.errors import ConfigError
from tune.config.loading import check_files, load_config, with_budget
from tune.config.loggers import check_loggers
from tune.config.portfolios import read_portfolio
from tune.config.schema import SearchConfig
from tune.engine.signals import interrupt
from tune.study.finding import absolute, find_folder, folder_of, known
from tune.study.folder import SearchFolder
from tune.study.search import Search
from tune.study.searches import checked_name
from tune.study.shared import given_storage, given_study
from tune.study.stopwatch import Stopwatch
from tune.tracking.server import check_tracking, tracking_uri

if TYPE_CHECKING:
    from tune.reporting.results import SearchResults

_PATIENCE: Final = 150.0
"""Seconds for which a search is waited for whose driver may be dead: PostgreSQL notices within a
minute that a machine is gone."""


@dataclass(frozen=True)
class Launch:
    """A search that is ready to run.

    Attributes:
        home: Its folder.
        config: Its config.
        run: Runs it, and prints its progress.
        finished: Whether nothing is left to be done, or no time to do it in.
        cut_short: Whether it is for lack of time that it is finished.
        reached_target: Whether it is finished because it has found what it looked for.
    """

    home: SearchFolder
    config: SearchConfig
    run: Callable[[Console], SearchResults]
    finished: bool = False
    cut_short: bool = False
    reached_target: bool = False

    @property
    def advice(self) -> str:
        """How the search is resumed, to be added to a message; empty before its start."""
        resume = f"; go on with: {to_resume(self.home.name)}"
        return resume if self.home.exists else ""

    @property
    def already(self) -> str:
        """What a search that is finished has come to, and what it would go on with."""
        name, trials = f"search {self.home.name}", self.config.num_trials
        if self.cut_short:
            seconds = f"{self.config.budget.time:g} s"
            return f"{name} has used up its {seconds}; for more: --time-budget"
        if self.reached_target:
            target = f"{self.config.budget.target:g}"
            return f"{name} has reached its target of {target}; for more: --target"
        more = "--num-samples"
        if trials < self.config.budget.num_samples:
            more = "another space, for this one has no others"
        return f"{name} is finished, with {trials} trials; for more: {more}"


def checked_config(
    given: Path | None, words: Sequence[str], where: str = "command line"
) -> SearchConfig:
    """The config of a search, with all that can be checked without anything slow.

    Args:
        given: A file or a preset, or the default.
        words: Overrides of its keys.
        where: Where they are from, as an error says it.

    Raises:
        ConfigError: A search of it could not run.
    """
    config = load_config(given, words, where)
    if not config.space:
        raise ConfigError("space is empty: name at least one key to search, such as optim.lr")
    check_files(config)
    check_loggers(config.tracking.also)
    read_portfolio(config.strategy)
    return config


def free_home(config: SearchConfig, name: str | None) -> SearchFolder:
    """The folder of a new search.

    Args:
        config: The search.
        name: Its name; by default the config's name and the time.

    Raises:
        ConfigError: It is no name, or there is a search of that name.
    """
    name = f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}" if name is None else name
    home = folder_of(checked_name(name, "--name"), config.tracking)
    if home.exists:
        raise ConfigError(home.taken())
    reason = None if home.folder.is_dir() else why_not_writable(home.folder)
    if reason is not None:
        raise ConfigError(f"nothing can be written here: {reason}; go to another folder")
    return home


def new_search(
    given: Path | None,
    words: Sequence[str],
    name: str | None,
    where: str = "command line",
) -> Launch:
    """A search that has not been started.

    Args:
        given: Its config: a file or a preset, or the default.
        words: Overrides of the config's keys.
        name: Its name; by default the config's name and the time.
        where: Where the overrides are from, as an error says it.

    Raises:
        ConfigError: It could not run.
    """
    config = _with_addresses(checked_config(given, words, where))
    home = free_home(config, name)
    watch = Stopwatch(home)
    check_tracking(config.tracking.uri)

    def run(console: Console) -> SearchResults:
        from tune.engine.runner import start_search

        return start_search(config, home, console, watch)

    return Launch(home, config, run)


def _with_addresses(config: SearchConfig) -> SearchConfig:
    """The config of a new search with the addresses that the environment names."""
    tracking, storage = config.tracking, absolute(given_storage(config.tracking.storage))
    addresses = {"uri": tracking_uri(tracking.uri), "study": given_study(tracking.study)}
    tracking = tracking.model_copy(update={**addresses, "storage": storage})
    return config.model_copy(update={"tracking": tracking})


def resumed_or_new_search(
    given: Path | None, words: Sequence[str], name: str, budget: Mapping[str, str]
) -> Launch:
    """A search that goes on where it was started before, on whatever machine, and else is started.

    The same command may be given again and again, by whatever restarts a job. A driver that a
    machine has lost may hold the search's turn for a while: it is waited for.

    Args:
        given: The config of a new search: a file or a preset, or the default.
        words: Overrides of the config's keys.
        name: The search's name.
        budget: Values of keys of `budget`, by their last names, which may be new.

    Raises:
        ConfigError: It could not run, or a process is running it.
    """
    storage = _with_addresses(checked_config(given, words)).tracking.storage
    before = known(find_folder(checked_name(name, "--resume-or-start"), storage))
    if before is None:
        return new_search(given, words, name)
    wanted, had = with_budget(before.config, budget).budget, before.config.budget
    new = {key: value for key, value in budget.items() if getattr(wanted, key) != getattr(had, key)}
    return resumed_search(name, new, storage, patience=_PATIENCE)


def resumed_search(
    name: str, budget: Mapping[str, str], storage: str | None = None, *, patience: float = 0.0
) -> Launch:
    """A search that was started before.

    Args:
        name: Its name.
        budget: New values of keys of `budget`, by their last names.
        storage: Its storage, where it is not known here.
        patience: Seconds for which another process that runs it is waited for.

    Raises:
        ConfigError: There is no such search, or it could not run.
    """
    home = find_folder(checked_name(name, "--resume"), storage)
    found = home.load()  # an unknown name leaves no folder
    if home.shared is not None:
        home.shared.check_owner(found)
    home.lock(patience, interrupt)
    watch = Stopwatch(home)
    try:
        search = _checked(home, budget, watch)
    except BaseException:
        home.release()
        raise

    def run(console: Console) -> SearchResults:
        from tune.engine.runner import resume_search

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
        check_tracking(search.config.tracking.uri)
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
            used = f"the search has used up its {now.time:g} s; add --time-budget MORE"
            raise ConfigError(f"{given}: {used}")
        raise ConfigError(
            f"--time-budget {now.time:g}s: it is counted over all runs of a search, and this "
            f"one has taken {elapsed:.0f} s; give more"
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
