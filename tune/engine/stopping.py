"""When the time of a search is up."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Stopper

from tune.engine.ray_compat import DriverOnly


class TimeBudget(DriverOnly, Stopper):
    """Stops all trials after so long. Ray's own reads a clock that may be set meanwhile.

    Args:
        seconds: None is no budget.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether one trial is to stop: never by this."""
        return False

    def stop_all(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end
