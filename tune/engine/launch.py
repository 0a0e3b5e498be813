"""A search that is decided and checked, before anything slow is loaded to run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from trainable.metrics import Objective
from tune.config.loading import check_files, load_config, with_budget
from tune.config.portfolios import read_portfolio
from tune.config.schema import SearchConfig
from tune.errors import ConfigError
from tune.study.folder import SearchFolder, checked_name
from tune.study.search import Search
from tune.study.stopwatch import Stopwatch
from tune.tracking.server import check_tracking, tracking_uri

if TYPE_CHECKING:
    from tune.reporting.results import SearchResults


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
        resume = f"; go on with: python -m tune.search --resume {self.home.name}"
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


def checked_config(given: Path | None, words: Sequence[str]) -> SearchConfig:
    """The config of a search, with all that can be checked without anything slow.

    Args:
        given: A file or a preset, or the default.
        words: Overrides of its keys.

    Raises:
        ConfigError: A search of it could not run.
    """
    config = load_config(given, words)
    if not config.space:
        raise ConfigError("space is empty: name at least one key to search, such as optim.lr")
    check_files(config)
    read_portfolio(config.strategy)
    return config


def new_search(given: Path | None, words: Sequence[str], name: str | None) -> Launch:
    """A search that has not been started.

    Args:
        given: Its config: a file or a preset, or the default.
        words: Overrides of the config's keys.
        name: Its name; by default the config's name and the time.

    Raises:
        ConfigError: It could not run.
    """
    config = checked_config(given, words)
    name = name or f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    home = SearchFolder(checked_name(name, "--name"))
    watch = Stopwatch(home)
    if home.exists:
        raise ConfigError(home.taken())
    uri = tracking_uri(config.tracking.uri)
    check_tracking(uri)
    tracking = config.tracking.model_copy(update={"uri": uri})
    config = config.model_copy(update={"tracking": tracking})

    def run(console: Console) -> SearchResults:
        from tune.engine.runner import start_search

        return start_search(config, home, console, watch)

    return Launch(home, config, run)


def resumed_search(name: str, budget: Mapping[str, str]) -> Launch:
    """A search that was started before.

    Args:
        name: Its name.
        budget: New values of keys of `budget`, by their last names.

    Raises:
        ConfigError: There is no such search, or it could not run.
    """
    home = SearchFolder(checked_name(name, "--resume"))
    home.load()  # an unknown name leaves no folder
    home.lock()
    search, watch = home.load(), Stopwatch(home)
    if budget:
        search = _extended(search, budget, watch.elapsed)
    if not search.concluded:
        check_files(search.config)
        check_tracking(search.config.tracking.uri)
        home.save(search)

    def run(console: Console) -> SearchResults:
        from tune.engine.runner import resume_search

        return resume_search(search, home, console, watch)

    ended = (search.concluded, search.cut_short, search.reached_target)
    return Launch(home, search.config, run, *ended)


def _extended(search: Search, budget: Mapping[str, str], elapsed: float) -> Search:
    """The search with more trials or time."""
    config = with_budget(search.config, budget)
    time_budget = config.budget.time
    asked, before = config.budget.num_samples, search.config.budget.num_samples
    if time_budget is not None and time_budget <= elapsed:
        if "time" not in budget:
            used = f"the search has used up its {time_budget:g} s; add --time-budget MORE"
            raise ConfigError(f"--num-samples {asked}: {used}")
        raise ConfigError(
            f"--time-budget {time_budget:g}s: it is counted over all runs of a search, and this "
            f"one has taken {elapsed:.0f} s; give more"
        )
    if search.reached_target and not _is_harder(config, search.config):
        reached = f"the search has reached its target of {search.config.budget.target:g}"
        if "target" not in budget:
            raise ConfigError(f"--num-samples {asked}: {reached}; add --target MORE")
        raise ConfigError(f"--target {config.budget.target:g}: {reached}; give more")
    if asked < before:
        raise ConfigError(f"--num-samples {asked}: the search has {before}; give more")
    return search.model_copy(update={"config": config, "concluded": False})


def _is_harder(config: SearchConfig, before: SearchConfig) -> bool:
    """Whether a target is harder to reach than that of before."""
    target, reached = config.budget.target, before.budget.target
    signed = Objective.named(config.objective.metric).signed
    return target is None or reached is None or signed(target) > signed(reached)
