"""The folder of a search, `mlruns/searches/NAME`: what it is, and its trials' checkpoints.

These lie elsewhere where the search has a storage (`tracking.storage`): then the folder has what
only this machine's process needs, and :mod:`tune.study.shared` the rest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from trainable.files.places import Place
from trainable.files.remote import AnyPlace, below, is_address, place_at
from tune.base.errors import ConfigError, first_line
from tune.study.claims import OWNER
from tune.study.holding import LOCK, Hold
from tune.study.search import DATABASE, HOME, Kind, Search
from tune.study.searches import FILE, SEARCHES, unknown
from tune.study.shared import SharedFolder, TrialFolders, unusable_storage

_ELAPSED = "elapsed.json"


class SearchFolder:
    """The folder of a search.

    Args:
        name: The search's name.
        home: The folder of all searches.
        shared: What of it other machines have too, if anything.
    """

    def __init__(self, name: str, home: Path = HOME, shared: SharedFolder | None = None) -> None:
        self.name, self.shared = name, shared
        self.folder = (home / SEARCHES / name).resolve()
        self._place, self._hold = Place(self.folder), Hold(name, self.folder, shared)

    @property
    def trials(self) -> TrialFolders:
        """Where its trials' folders are."""
        return TrialFolders(self.folder if self.shared is None else self.shared.address)

    @property
    def owner(self) -> str:
        """The name of the file beside its trials' folders that says whose they are."""
        return FILE if self.shared is None else OWNER

    @property
    def exists(self) -> bool:
        """Whether a search of this name was started here."""
        return self._place.exists(FILE)

    @property
    def where(self) -> Path | str:
        """Where its checkpoints and its report are."""
        return self.shown if self.shared is None else self.shared.address

    @property
    def shown(self) -> Path:
        """Where it is, relative to the working directory if it is below it."""
        here = Path.cwd().resolve()
        return self.folder.relative_to(here) if self.folder.is_relative_to(here) else self.folder

    @property
    def is_running(self) -> bool:
        """Whether a process is running this search."""
        return self._hold.is_taken

    @property
    def is_own(self) -> bool:
        """Whether this process is running it, and no other can have taken it over."""
        return self._hold.is_own

    def check_own(self) -> None:
        """Make sure that no other process has taken it over from this one.

        Raises:
            SQLAlchemyError: That cannot be known now.
            TurnTakenError: One has.
        """
        self._hold.check()

    @property
    def state(self) -> str:
        """`damaged`, `out of reach`, `running`, `finished` or `unfinished`."""
        try:
            search = self.load()
        except ConfigError:
            return "damaged" if self.cached() is None else "out of reach"
        if self.is_running:
            return "running"
        return "finished" if search.concluded and not search.cut_short else "unfinished"

    @property
    def has_trials(self) -> bool:
        """Whether a trial has run in it."""
        return bool(place_at(self.trials.where).folders("trial-*"))

    def trial(self, number: int, kind: Kind = "trial") -> Path | str:
        """The folder of a trial, or its address."""
        return self.trials.trial(number, kind)

    def checkpoints(self, number: int, kind: Kind = "trial") -> AnyPlace:
        """The same, to look at its checkpoints or delete them."""
        return place_at(self.trial(number, kind))

    @property
    def size(self) -> int:
        """The bytes that its files occupy; of one with two names, once."""
        own = _occupied(path for path in self.folder.rglob("*") if path.is_file())
        return own if self.shared is None else own + self.shared.size

    def clear_checkpoints(self) -> int:
        """Delete its trials' checkpoints, and return how many bytes those were.

        What is asked for later is trained again, to the same weights.

        Raises:
            ConfigError: A process is running it.
        """
        self.lock()
        if self.shared is not None:
            return self.shared.clear_checkpoints()
        files = [path for kind in get_args(Kind) for path in self.folder.glob(f"{kind}-*/*.pt*")]
        size = _occupied(files)
        for path in files:
            path.unlink(missing_ok=True)
        return size

    def clear_halves(self) -> None:
        """Delete what its trials' processes, which have ended, had half written."""
        # Another process may be running it; and a bucket has no halves.
        if not self.is_own or is_address(self.trials.where):
            return
        for kind in get_args(Kind):
            for name in place_at(self.trials.where).folders(f"{kind}-*"):
                place_at(below(self.trials.where, name)).clear_halves()

    def begin(self, search: Search, on_loss: Callable[[str], None] | None = None) -> None:
        """Take the name for a new search.

        Args:
            search: The search.
            on_loss: As in :meth:`lock`.

        Raises:
            ConfigError: It is taken.
        """
        self.lock(on_loss=on_loss)
        if self.exists:
            raise ConfigError(self.taken())
        if self.shared is not None:
            self.shared.claim(search.identity)
        self.save(search)

    def taken(self) -> str:
        """An error message: the name is taken, and what to do."""
        return (
            f"--name {self.name}: there is a search of this name; resume it by "
            f"--resume {self.name}, or choose another"
        )

    def lock(self, patience: float = 0.0, on_loss: Callable[[str], None] | None = None) -> None:
        """Keep every other process out of this search until this one ends.

        Args:
            patience: Seconds for which another process is waited for.
            on_loss: As :meth:`~tune.study.holding.Hold.take` has it.

        Raises:
            ConfigError: Another process is at it.
        """
        self._hold.take(patience, on_loss)
        self._place.clear_halves(FILE, _ELAPSED)

    def release(self) -> None:
        """Let others in again, this process's next search too."""
        self._hold.give_back()

    def load(self) -> Search:
        """The search as it was started: by its file, or where that is lost by its study.

        Where other machines run it too, its study knows better than the file of this one.

        Raises:
            ConfigError: There is neither.
        """
        found = None if self.shared is None else self.shared.load()
        return found or self._load()

    def cached(self) -> Search | None:
        """The search as this folder has it, where it has it whole."""
        try:
            return Search.model_validate_json(self._place.read(FILE))
        except (ValidationError, OSError):
            return None

    def _load(self) -> Search:
        try:
            return Search.model_validate_json(self._place.read(FILE))
        except FileNotFoundError:
            reason = unknown(self.name, self.folder.parents[1])
        except (ValidationError, OSError) as error:
            reason = f"search {self.name}: {self.folder / FILE} cannot be read: {first_line(error)}"
        search = self._in_study()
        if search is None:
            raise ConfigError(reason)
        return search

    def _in_study(self) -> Search | None:
        """The search as its study holds it, where that lies beside this folder."""
        database = self.folder.parents[1] / DATABASE
        if not database.is_file():
            return None
        from tune.study.definition import read_definition  # with Optuna, which takes a while

        return read_definition(f"sqlite:///{database}", self.name)

    def save(self, search: Search) -> None:
        """Write the search, for its owner alone: a URL may hold a password."""
        content = search.model_dump_json(indent=1).encode()
        self._place.write(FILE, content, private=True, durable=True)

    @property
    def elapsed(self) -> float:
        """The seconds that its runs have taken together, as far as they were noted.

        It is the first that a new search asks its storage, and a person may be looking on.

        Raises:
            ConfigError: The storage does not say, and what it has would be written over.
        """
        place = self._place if self.shared is None else self.shared.awaited
        try:
            seconds = json.loads(place.read(_ELAPSED))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            return 0.0
        except (OSError, ValueError, ImportError) as error:
            if self.shared is None:
                return 0.0
            raise unusable_storage(self.shared.storage, error) from error
        known = isinstance(seconds, int | float) and 0 <= seconds < math.inf
        return float(seconds) if known else 0.0

    def note_elapsed(self, seconds: float) -> None:
        """Store how many seconds its runs have taken, unless there is no space for it."""
        if self.shared is not None and not self.shared.has_turn:
            return  # the time is another process's to note
        place = self._place if self.shared is None else self.shared.clock
        with suppress(OSError):
            place.write(_ELAPSED, json.dumps(round(seconds, 3)).encode())

    def discard(self) -> None:
        """Free the name: nothing was started after all."""
        if self.shared is not None:
            self.shared.discard()
        self._remove(FILE, _ELAPSED, LOCK)

    def abandon(self) -> None:
        """Free a name that was locked, if no search was begun by it after all."""
        if self.is_own and not self.exists:
            self._remove(LOCK)
            self.release()

    def _remove(self, *names: str) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        for folder in (self.folder, *self.folder.parents[:2]):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _occupied(files: Iterable[Path]) -> int:
    sizes = {}
    for path in files:
        with suppress(FileNotFoundError):  # of a search that is running
            status = path.stat()
            sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())
