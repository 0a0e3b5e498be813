"""The images that a process decodes at once, so that their pixels together are bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class Room:
    """Room for a number of pixels, which the threads of a process share.

    Args:
        pixels: How many; no image has more.
    """

    def __init__(self, pixels: int) -> None:
        self._left = pixels
        self._turn, self._freed = Lock(), Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for an image; who comes first is served first."""
        with self._turn, self._freed:
            self._freed.wait_for(lambda: pixels <= self._left)
            self._left -= pixels
        try:
            yield
        finally:
            with self._freed:
                self._left += pixels
                self._freed.notify()
