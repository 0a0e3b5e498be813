"""When the time of a search is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

from ray.tune import Stopper

from tune.engine.ray_compat import DriverOnly

_LEAST_PAUSE: Final = 1.0
"""Seconds for which an estimate is gone by."""
_SHARE: Final = 0.05
"""The share of the driver's time that estimating may take."""


class TimeBudget(DriverOnly, Stopper):
    """Stops all trials when no time is left for them.

    Ray's own reads a clock that may be set meanwhile, and knows nothing of what comes after.

    Args:
        estimate: The seconds that are left for trials, as it looks now; infinite without a budget.
        after: The seconds that what follows the trials takes, as it looks now.
        whole: The seconds that are left for all of it; infinite without a budget.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self,
        estimate: Callable[[], float],
        after: Callable[[], float] = lambda: 0.0,
        whole: Callable[[], float] = lambda: math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._estimate, self._after, self._whole, self._clock = estimate, after, whole, clock
        self._end = self._next = -1.0

    def remaining(self) -> float:
        """The seconds that are left for trials."""
        now = self._clock()
        if now >= self._next:
            self._end = now + self._estimate()
            taken = self._clock() - now
            self._next = now + max(_LEAST_PAUSE, taken / _SHARE)
        return self._end - now

    def until_end(self, trials: float | None) -> float | None:
        """The seconds until all is done, trials and what follows them; None if nobody knows.

        Args:
            trials: Those until the last trial ends by itself, as it looks now.
        """
        left = max(0.0, self.remaining())
        known = left if trials is None else min(trials, left)
        whole = max(0.0, self._whole())
        if known == whole == math.inf:
            return None
        return min(known + self._after(), whole)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether one trial is to stop: never by this."""
        return False

    def stop_all(self) -> bool:
        """Whether the time is up."""
        return self.remaining() <= 0
