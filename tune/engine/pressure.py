"""Memory pressure from outside: what Ray kills for lack of memory is no trial's fault."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from tune.base.errors import Halt

PATIENCE: Final = 120.0
"""Seconds for which trials are tried again while each is killed before it ends an epoch."""
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0


class MemoryPressure:
    """Says when trials may start again after Ray has killed some for lack of memory.

    It pauses, longer each time until an epoch is reported. From the second time on, one less
    runs at once; and one more again for each trial that ends by itself.

    Args:
        say: Prints it, the first time.
        patience: Seconds from the first kill without an epoch until the search halts.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda _: None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._patience, self._clock = say, patience, clock
        self._kills = 0
        self._since = self._until = -math.inf
        self._allowed = math.inf

    def killed(self, running: int) -> None:
        """A trial has been killed.

        Args:
            running: How many ran, this one among them.

        Raises:
            Halt: It happens again and again.
        """
        now = self._clock()
        if now < self._until:  # together with the one before it
            return
        if self._kills == 0:
            self._since = now
        if self._until == -math.inf:
            self._say("memory   is short: Ray has killed a trial for it, which will be tried again")
        else:
            self._allowed = max(1, min(self._allowed, running) - 1)
        if now - self._since >= self._patience:
            raise Halt(
                f"the machine is short of memory: for {now - self._since:.0f} s, Ray has killed "
                "each trial before it could end an epoch; free some, or have fewer trials at once "
                "(resources.max_concurrent)"
            )
        self._until = now + min(_FIRST_PAUSE * 2**self._kills, _LONGEST_PAUSE)
        self._kills += 1

    def reported(self) -> None:
        """A trial has ended an epoch: there is enough memory for as many as run."""
        self._kills = 0

    def ended(self) -> None:
        """A trial has ended by itself: one more may be tried."""
        self._allowed += 1

    def holds_back(self, running: int) -> bool:
        """Whether no trial may start now.

        Args:
            running: How many trials run.
        """
        return self._clock() < self._until or running >= self._allowed
