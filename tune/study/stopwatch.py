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
_GOODBYE_SECONDS: Final = 10.0
"""How long the end waits for the study to have it: its server may be away, and the file has it."""
_STUDY_NOTE_SECONDS: Final = 30.0
"""The same in the study, which trials write too: so much is lost where the file is lost as well."""


class Stopwatch:
    """The time that the runs of a search have taken together, not counting what lay between them.

    Args:
        home: The search's folder, which keeps the time from run to run, as its study does.
        clock: Seconds that never run backwards.
    """

    def __init__(self, home: SearchFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._home, self._clock = home, clock
        self._started, self._before = clock(), home.elapsed

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
        ended, home = Event(), self._home
        pause = _NOTE_SECONDS if home.shared is None else _SHARED_NOTE_SECONDS
        # Threads of their own: what takes long (a test, a server) asks nobody for the time, and the
        # file does not wait for the study.
        in_file = self._started_thread(home.note_elapsed, pause, ended)
        in_study = self._started_thread(home.note_elapsed_in_study, _STUDY_NOTE_SECONDS, ended)
        try:
            yield
        finally:
            ended.set()
            in_file.join()
            in_study.join(_GOODBYE_SECONDS)

    def _started_thread(self, note: Callable[[float], None], pause: float, ended: Event) -> Thread:
        """A thread that stores the time after each pause, and once more at the end."""

        def run() -> None:
            over = False
            while not over:
                over = ended.wait(pause)
                note(self.elapsed)

        thread = Thread(target=run, name="stopwatch", daemon=True)
        thread.start()
        return thread
