"""Locks of files, which whoever looks whether they are taken takes for a moment."""

from __future__ import annotations

from typing import Final

from filelock import BaseFileLock

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
