"""What of a search lies where every machine of a cluster sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from trainable.files.places import Place
from trainable.files.remote import AnyPlace, below, place_at
from tune.base.errors import ConfigError, first_line
from tune.study.claims import Claims
from tune.study.reach import check_reach
from tune.study.search import Kind, Search, run_name

if TYPE_CHECKING:
    from tune.study.turns import Turn

STORAGE: Final = "TUNE_STORAGE"
STUDY: Final = "TUNE_STUDY"
"""The variables that name a storage and a study where a config names none."""

_HURRY: Final = 15.0
"""Seconds for which the storage is waited for where somebody looks on."""
_ELAPSED: Final = "elapsed.json"
_BELOW: Final = "searches"
_CHECKPOINTS: Final = "*.pt"


@dataclass(frozen=True)
class TrialFolders:
    """Where the trials of a search have their checkpoints, in a form that any process can be given.

    Attributes:
        where: The folder of their folders, or its address.
    """

    where: Path | str

    def trial(self, number: int, kind: Kind = "trial") -> Path | str:
        """The folder of a trial, or its address."""
        return below(self.where, run_name(kind, number))


@dataclass
class SharedFolder:
    """A search's folder in a storage: checkpoints, the report, and how long it has taken.

    What the search is stands in its study, which knows it for all machines; whose turn it is to run
    it, there too, if that is on a server. The study of a file is this machine's alone, and so is
    the turn; others are refused.

    Attributes:
        name: The search's name.
        storage: A folder that all machines see, or an address such as `s3://bucket/prefix`.
        study: The URL of the study's storage.
        uri: Where it is recorded, if that is known here.
    """

    name: str
    storage: str
    study: str
    uri: str | None = None
    _turn: Turn | None = field(default=None, repr=False)
    _claimed: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Where its trials' folders are."""
        return str(below(self.storage, _BELOW, self.name))

    @property
    def place(self) -> AnyPlace:
        """The same, to read and write its files."""
        return place_at(self.address)

    @property
    def awaited(self) -> AnyPlace:
        """The same, while somebody looks on."""
        return place_at(self.address, _HURRY)

    @property
    def clock(self) -> AnyPlace:
        """The same, for what is written again and again and not waited for."""
        return place_at(self.address, patience=0.0)

    def claim(self, identity: str) -> None:
        """Have the folder belong to a new search.

        Raises:
            ConfigError: It belongs to another, or nothing can be written there.
        """
        with self._usable():
            claimed = Claims(self.address, _HURRY).claim(identity)
        if not claimed:
            raise ConfigError(
                f"--name {self.name}: {self.address} has the files of a search of this name; "
                "choose another"
            )
        self._claimed = identity

    def commit(self, search: Search, patience: float = 0.0) -> None:
        """Have the folder for good: the search has a study, and can be gone on with.

        Args:
            search: The search.
            patience: Seconds for which the storage is waited for, if more than a few.

        Raises:
            ConfigError: The folder is another's, or the storage cannot be used.
        """
        with self._usable():
            committed = Claims(self.address, max(patience, _HURRY)).commit(search.identity)
        if not committed:
            raise ConfigError(
                f"search {self.name}: {self.address} has the files of another search of this name; "
                "give --storage the one that it was started with, or start it by another name"
            )

    def load(self) -> Search | None:
        """The search as its study has it, with the addresses by which it was found; None without.

        Raises:
            ConfigError: The study cannot be read.
        """
        from tune.study.definition import read_definition  # with Optuna, which takes a while
        from tune.study.storage import has_study

        if not has_study(self.study, self.name):
            return None
        search = read_definition(self.study, self.name)
        if search is None:
            return None
        own = {"study": self.study, "storage": self.storage}
        uri = {} if self.uri is None else {"uri": self.uri}
        tracking = search.config.tracking.model_copy(update={**own, **uri})
        config = search.config.model_copy(update={"tracking": tracking})
        return search.model_copy(update={"config": config})

    @property
    def is_running(self) -> bool:
        """Whether a process on any machine is running the search, as far as the study says."""
        from tune.study.turns import turn_for

        turn = turn_for(self.study, self.name, _ignore)
        return turn is not None and turn.is_taken

    def take_turn(self, patience: float, on_loss: Callable[[str], None] | None) -> bool:
        """Keep the processes of other machines out; False where one is at it.

        Raises:
            ConfigError: The study cannot be used, or keeps no other machine out.
        """
        from tune.study.turns import turn_for

        check_reach(self.study, self.storage)
        turn = self._turn or turn_for(self.study, self.name, on_loss or _ignore)
        if turn is None or self._turn is not None:
            return True
        self._turn = turn if turn.take(patience) else None
        return self._turn is not None

    @property
    def has_turn(self) -> bool:
        """Whether no other machine's process can have taken the turn, once it was taken here."""
        return self._turn is None or self._turn.is_own

    def check_turn(self) -> None:
        """Make sure of it.

        Raises:
            SQLAlchemyError: The study does not say.
            TurnTakenError: One has taken it.
        """
        if self._turn is not None:
            self._turn.check()

    def end_turn(self) -> None:
        """Let the others in again."""
        if self._turn is not None:
            self._turn.give_back()
            self._turn = None

    @property
    def size(self) -> int:
        """The bytes of its trials' checkpoints, as far as it can be known now."""
        try:
            return sum(_bytes(place) for place in self._trials())
        except (OSError, ValueError, ImportError):
            return 0

    def clear_checkpoints(self) -> int:
        """Delete them, and return how many bytes those were.

        Raises:
            ConfigError: They cannot be deleted.
        """
        size = 0
        with self._usable():
            for place in self._trials():
                size += _bytes(place)
                place.delete(*place.names(f"{_CHECKPOINTS}*"))
        return size

    def publish(self, files: Iterable[Path]) -> None:
        """Copy files of this machine, such as the report's, to where the others find them."""
        for path in files:
            self.place.write(path.name, path.read_bytes())

    def discard(self) -> None:
        """Leave the folder as if it had never been claimed."""
        with suppress(OSError, ValueError):
            self.awaited.delete(_ELAPSED)
            if self._claimed is not None:
                Claims(self.address, _HURRY).withdraw(self._claimed)
        self.end_turn()

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, ImportError) as error:
            raise unusable_storage(self.storage, error) from error

    def _trials(self) -> list[AnyPlace]:
        place = self.awaited
        return [
            place_at(below(self.address, name), _HURRY)
            for kind in get_args(Kind)
            for name in place.folders(f"{kind}-*")
        ]


def _bytes(place: AnyPlace) -> int:
    if not isinstance(place, Place):
        return sum(place.sizes().values())
    files = [path.stat() for path in place.folder.iterdir() if path.is_file()]
    return sum({each.st_ino: each.st_size for each in files}.values())


def _ignore(_: str) -> None:
    """Ignore the reason."""


def unusable_storage(storage: str, error: Exception) -> ConfigError:
    """The error of a config whose storage cannot be used."""
    install = "; install the extra: pip install 'resnet-tune[s3]'"
    more = install if isinstance(error, ImportError) else ""
    return ConfigError(f"tracking.storage={storage} cannot be used: {first_line(error)}{more}")


def given_storage(configured: str | None) -> str | None:
    """The storage that a config or the environment names."""
    return configured or os.environ.get(STORAGE) or None


def given_study(configured: str | None) -> str | None:
    """The URL of a study's storage that a config or the environment names."""
    return configured or os.environ.get(STUDY) or None
