"""How long a search has taken, over all its runs: what a time budget is compared with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tune.study.folder import SearchFolder

_NOTE_SECONDS: Final = 2.0
"""A killed search loses this much of its time at most."""


class Stopwatch:
    """The time that the runs of a search have taken together, not counting what lay between them.

    Args:
        home: The search's folder, which keeps the time from run to run.
        clock: Seconds that never run backwards.
    """

    def __init__(self, home: SearchFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._home, self._clock = home, clock
        self._before, self._started = home.elapsed, clock()
        self._noted = self._started

    @property
    def elapsed(self) -> float:
        """Seconds of this run and of those before it."""
        return self._before + self._clock() - self._started

    @property
    def this_run(self) -> float:
        """Seconds of this run alone."""
        return self._clock() - self._started

    def note(self) -> None:
        """Store the time, unless that was done a moment ago."""
        if self._clock() - self._noted >= _NOTE_SECONDS:
            self.stop()

    def stop(self) -> None:
        """Store the time now."""
        self._noted = self._clock()
        self._home.note_elapsed(self.elapsed)
