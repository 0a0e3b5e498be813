"""Who runs a search: one process at a time, on this machine and on all that share it."""

from __future__ import annotations

from collections.abc import Callable
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
        """Whether this process has it."""
        return bool(self._lock.is_locked)

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
        self._folder.mkdir(parents=True, exist_ok=True)
        busy = f"search {self._name}: another process is running it; wait for it or stop it"
        try:
            acquire(self._lock, patience)
        except Timeout as error:
            raise ConfigError(busy) from error
        try:
            if self._shared is not None and not self._shared.take_turn(patience, on_loss):
                raise ConfigError(busy)
        except ConfigError:
            self._lock.release()
            raise

    def give_back(self) -> None:
        """Let others have it, this process's next search too."""
        if self._shared is not None:
            self._shared.end_turn()
        self._lock.release()
