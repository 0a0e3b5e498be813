"""How long a search has taken, over all its runs: what a time budget is compared with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

from tune.study.folder import SearchFolder

_NOTE_SECONDS: Final = 2.0
"""How often the time is stored while a search runs: so much of it is lost by a kill."""
_SHARED_NOTE_SECONDS: Final = 15.0
"""The same in a storage, where each time is a request."""


class Stopwatch:
    """The time that the runs of a search have taken together, not counting what lay between them.

    Args:
        home: The search's folder, which keeps the time from run to run.
        clock: Seconds that never run backwards.
    """

    def __init__(self, home: SearchFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._home, self._clock = home, clock
        self._before, self._started = home.elapsed, clock()

    @property
    def elapsed(self) -> float:
        """Seconds of this run and of those before it."""
        return self._before + self._clock() - self._started

    @property
    def this_run(self) -> float:
        """Seconds of this run alone."""
        return self._clock() - self._started

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Store the time again and again while the block runs, and at its end."""
        ended = Event()

        pause = _NOTE_SECONDS if self._home.shared is None else _SHARED_NOTE_SECONDS

        def note() -> None:
            while not ended.wait(pause):
                self._home.note_elapsed(self.elapsed)

        # A thread of its own: what takes long (a test, a server) asks nobody for the time.
        thread = Thread(target=note, name="stopwatch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._home.note_elapsed(self.elapsed)
