"""When a whole search stops before its last trial."""

from __future__ import annotations

import time
from typing import Any, Final

from optuna.trial import TrialState
from ray.tune import Stopper

from tune.engine.cluster import DriverOnly
from tune.errors import Halt
from tune.study.trial import TrialLog

GIVE_UP_AFTER: Final = 5
"""Trials that fail, and none that does not, before a search gives up."""


class TimeBudget(DriverOnly, Stopper):
    """Stops all trials after so long. Ray's own reads a clock that may be set meanwhile.

    Args:
        seconds: None is no budget.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether one trial is to stop: never by this."""
        return False

    def stop_all(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end


class GiveUp:
    """Halts a search in which every trial fails, while there are more to come.

    Args:
        trials: So many are to run.
    """

    def __init__(self, trials: int) -> None:
        self._trials = trials
        self._failed: list[TrialLog] = []
        self._hope = False

    def changed(self, trial: TrialLog) -> None:
        """Count a trial that has ended.

        Raises:
            Halt: All of them failed.
        """
        if trial.state is TrialState.FAIL:
            self._failed.append(trial)
        elif trial.state.is_finished():
            self._hope = True
        if not self._hope and GIVE_UP_AFTER <= len(self._failed) < self._trials:
            last = self._failed[-1]
            raise Halt(
                f"all of the first {len(self._failed)} trials failed, trial {last.number} "
                f"for this reason: {last.error}"
            )
