"""Who runs a search: one process at a time, on this machine and on all that share it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from tune.base.errors import ConfigError
from tune.base.locks import acquire, is_taken

if TYPE_CHECKING:
    from tune.study.shared import SharedFolder

LOCK: Final = "lock"
"""The file, in a search's folder, that the process which runs it has locked."""


class Hold:
    """A search, held by this process or by another: a lock that ends with the process.

    Args:
        name: The search's name.
        folder: Its folder.
        shared: What of it other machines have too, if anything.
    """

    def __init__(self, name: str, folder: Path, shared: SharedFolder | None) -> None:
        self._name, self._shared = name, shared
        self._folder, self._lock = folder, FileLock(folder / LOCK)

    @property
    def is_own(self) -> bool:
        """Whether this process has it, and no other can have taken it meanwhile."""
        has_turn = self._shared is None or self._shared.has_turn
        return bool(self._lock.is_locked) and has_turn

    def check(self) -> None:
        """Make sure that no other process has taken it meanwhile.

        Raises:
            SQLAlchemyError: That cannot be known now.
            TurnTakenError: One has.
        """
        if self._shared is not None:
            self._shared.check_turn()

    @property
    def is_taken(self) -> bool:
        """Whether a process has it, here or elsewhere."""
        if is_taken(self._lock):
            return True
        return self._shared is not None and self._shared.is_running

    def take(self, patience: float = 0.0, on_loss: Callable[[str], None] | None = None) -> None:
        """Keep every other process out until this one ends.

        Args:
            patience: Seconds for which another process is waited for.
            on_loss: Called, in a thread, with the reason when another process has taken it after
                all, while a server was away that keeps the turns of several machines.

        Raises:
            ConfigError: Another process has it, or others could not be kept out.
        """
        if self._lock.is_locked:
            return
        busy = f"search {self._name}: another process is running it; wait for it or stop it"
        try:
            self._acquire(patience)
        except Timeout as error:
            raise ConfigError(busy) from error
        try:
            if self._shared is not None and not self._shared.take_turn(patience, on_loss):
                raise ConfigError(busy)
        except ConfigError:
            self._lock.release()
            raise

    def _acquire(self, patience: float) -> None:
        """Lock the file; one that is waited for may take folder and all away, and free the name."""
        while not self._lock.is_locked:
            self._folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                acquire(self._lock, patience)

    def give_back(self) -> None:
        """Let others have it, this process's next search too."""
        if self._shared is not None:
            self._shared.end_turn()
        self._lock.release()
