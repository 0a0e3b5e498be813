"""Locks of files, which whoever looks whether they are taken takes for a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from filelock import BaseFileLock, Timeout

_GLANCE_SECONDS: Final = 0.5
"""How long one is waited for at least: it may only be looked at."""


def acquire(lock: BaseFileLock, patience: float) -> None:
    """Take a file's lock.

    Args:
        lock: The lock.
        patience: Seconds for which it is waited for, if more than for a look.

    Raises:
        Timeout: Another process has it.
    """
    lock.acquire(timeout=max(patience, _GLANCE_SECONDS))


def is_taken(lock: BaseFileLock) -> bool:
    """Whether another process has a file's lock; a look makes no file.

    Args:
        lock: The lock.

    Raises:
        OSError: The file is there and cannot be locked.
    """
    if not Path(lock.lock_file).is_file():
        return False
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
