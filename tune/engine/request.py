"""What a command line asks for: a new search, one that goes on, or a look at what one would try."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tune.base.errors import ConfigError
from tune.engine.launch import Launch, checked_config, free_home, new_search, with_addresses
from tune.engine.resumption import resumed_or_new_search, resumed_search


@dataclass(frozen=True)
class Request:
    """The options of `python -m tune.search`.

    Attributes:
        config: A file or a preset, if one is given.
        overrides: Values of the config's keys.
        budget: Values of keys of `budget`, by their last names.
        storage: Where checkpoints lie for all machines, if that is given.
        name: The name of a new search, if it is given.
        resume: The search to resume, if that is asked for.
        resume_or_start: The search to resume or start, if that is asked for.
    """

    config: Path | None
    overrides: Sequence[str]
    budget: Mapping[str, str]
    storage: str | None
    name: str | None
    resume: str | None
    resume_or_start: str | None

    @property
    def words(self) -> list[str]:
        """All that overrides the config of a new search."""
        budget = (f"budget.{key}={value}" for key, value in self.budget.items())
        storage = [] if self.storage is None else [f"tracking.storage={self.storage}"]
        return [*self.overrides, *budget, *storage]

    def launch(self, say: Callable[[str], None] = lambda _: None) -> Launch:
        """The search, ready to run.

        Args:
            say: Says that a server is waited for.

        Raises:
            ConfigError: It could not run, or the options do not go together.
        """
        if self.resume_or_start is not None:
            if self.resume is not None or self.name is not None:
                raise ConfigError("--resume-or-start goes along with neither --resume nor --name")
            given = (self.config, self.words, self.resume_or_start, self.budget)
            return resumed_or_new_search(*given, say)
        if self.resume is None:
            return new_search(self.config, self.words, self.name)
        if self.config or self.name or self.overrides:
            raise ConfigError(
                "--resume goes on with a search as it is: beside it, only --num-samples, "
                "--time-budget, --target, --storage and --address can be given"
            )
        return resumed_search(self.resume, self.budget, self.storage)

    def preview(self, console: Console) -> None:
        """Print what a new search would try first, and why.

        Raises:
            ConfigError: It could not run, or it is no new one.
        """
        old = self.resume or self.resume_or_start
        if old is not None:
            raise ConfigError(f"--dry-run is of a new search, and --resume {old} is an old one")
        config = with_addresses(checked_config(self.config, self.words))
        free_home(config, self.name)
        from tune.engine.preview import preview  # with PyTorch, after what is checked without

        preview(config, console)
