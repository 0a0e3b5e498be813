"""Checkpoints that nothing will ask for again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.experiment import Trial

from trainable.checkpoints import BEST, LAST
from tune.cluster import DriverOnly
from tune.searcher import final_state


class DropUnneeded(DriverOnly, Callback):
    """Deletes the checkpoints of stopped trials, and all but the best of those that ended."""

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Delete what a trial leaves that will not go on."""
        stopped = final_state(trial.last_result) is TrialState.PRUNED
        for name in (LAST, BEST) if stopped else (LAST,):
            Path(trial.config["folder"], name).unlink(missing_ok=True)
