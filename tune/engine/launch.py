"""A search that is decided and checked, before anything slow is loaded to run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from trainable.files.places import why_not_writable
from tune.base.commands import to_resume
from tune.base.errors import ConfigError
from tune.config.durations import duration_text
from tune.config.loading import check_files, load_config
from tune.config.loggers import check_loggers
from tune.config.portfolios import read_portfolio
from tune.config.schema import SearchConfig
from tune.engine.signals import interrupt
from tune.study.folder import SearchFolder
from tune.study.lookup import absolute, folder_of
from tune.study.reach import check_reach
from tune.study.searches import checked_name
from tune.study.shared import given_storage, given_study
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
        resume = f"; go on with: {to_resume(self.home.name)}"
        return resume if self.home.exists else ""

    @property
    def already(self) -> str:
        """What a search that is finished has come to, and what it would go on with."""
        name, trials = f"search {self.home.name}", self.config.num_trials
        if self.cut_short:
            used = duration_text(self.config.budget.time or 0.0)
            return f"{name} has used up its {used}; for more: --time-budget"
        if self.reached_target:
            target = f"{self.config.budget.target:g}"
            return f"{name} has reached its target of {target}; for more: --target"
        more = "--num-samples"
        if trials < self.config.budget.num_samples:
            more = "another space, for this one has no others"
        return f"{name} is finished, with {trials} trials; for more: {more}"

    def clean(self) -> None:
        """Clear away what was half done, once nothing of the search runs any more."""
        self.home.clear_halves()
        self.home.abandon()


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
    home = usable_home(config, checked_name(name, "--name"))
    if home.exists:
        raise ConfigError(home.taken())
    return home


def usable_home(config: SearchConfig, name: str) -> SearchFolder:
    """The folder of a search of this name, whether it was started or not.

    Raises:
        ConfigError: Nothing can be written there.
    """
    home = folder_of(name, config.tracking)
    reason = None if home.folder.is_dir() else why_not_writable(home.folder)
    if reason is not None:
        raise ConfigError(f"nothing can be written here: {reason}; go to another folder")
    return home


def new_search(
    given: Path | None,
    words: Sequence[str],
    name: str | None,
    where: str = "command line",
    on_loss: Callable[[str], None] = interrupt,
    *,
    home: SearchFolder | None = None,
) -> Launch:
    """A search that has not been started.

    Args:
        given: Its config: a file or a preset, or the default.
        words: Overrides of the config's keys.
        name: Its name; by default the config's name and the time.
        where: Where the overrides are from, as an error says it.
        on_loss: As :meth:`~tune.study.holding.Hold.take` has it: stops this process's search.
        home: Its folder, where that is locked already and free.

    Raises:
        ConfigError: It could not run.
    """
    config = with_addresses(checked_config(given, words, where))
    home = free_home(config, name) if home is None else home
    watch = Stopwatch(home)
    check_tracking(config.tracking.uri)

    def run(console: Console) -> SearchResults:
        from tune.engine.runner import start_search

        return start_search(config, home, console, watch, on_loss)

    return Launch(home, config, run)


def with_addresses(config: SearchConfig) -> SearchConfig:
    """The config of a new search with the addresses that the environment names.

    Raises:
        ConfigError: Its study would not keep the drivers of other machines out.
    """
    tracking, storage = config.tracking, absolute(given_storage(config.tracking.storage))
    addresses = {"uri": tracking_uri(tracking.uri), "study": given_study(tracking.study)}
    check_reach(addresses["study"], storage)
    tracking = tracking.model_copy(update={**addresses, "storage": storage})
    return config.model_copy(update={"tracking": tracking})
