"""Processes that read image files beside this one.

A thread that reads a small file holds Python's lock for two thirds of the time, so that threads
alone keep less than two cores busy, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import torch
from loky import get_reusable_executor
from loky.process_executor import BrokenProcessPool

LEAST_FILES: Final = 4_000
"""Of fewer files, threads have read most before a process has begun."""
_BY_THREADS: Final = 2
"""Cores that threads keep busy."""
_IDLE_SECONDS: Final = 10
"""After so long without work the processes end."""

T = TypeVar("T")


def beside(function: Callable[..., T], files: int) -> Callable[..., T]:
    """A function that is called in other processes, where that pays.

    They need no `if __name__ == "__main__"` in a script, whose code they do not run.

    Args:
        function: Called by many threads at once, each of which waits for its result.
        files: How many files it reads in all.

    Returns:
        The same function, or one that gives and raises the same.
    """
    count = torch.get_num_threads()
    if count <= _BY_THREADS or files < LEAST_FILES:
        return function

    def called(*arguments: Any) -> T:
        try:
            executor = get_reusable_executor(
                max_workers=count, timeout=_IDLE_SECONDS, env={"OMP_NUM_THREADS": "1"}
            )
            return executor.submit(function, *arguments).result()
        except (BrokenProcessPool, OSError):  # killed for want of memory, or not to be had here
            return function(*arguments)

    return called
