"""Which states of a trial are kept: the best and the last, until it is stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from ray.tune import Callback, CheckpointConfig
from ray.tune.experiment import Trial

from tune.cluster import DriverOnly
from tune.searcher import METRIC, MODE, final_state


def checkpoint_config() -> CheckpointConfig:
    """A checkpoint after each epoch; Ray keeps the best one, and the last to go on from."""
    return CheckpointConfig(
        num_to_keep=1,
        checkpoint_score_attribute=METRIC,
        checkpoint_score_order=MODE,
        checkpoint_frequency=1,
    )


class DropPruned(DriverOnly, Callback):
    """Deletes the checkpoints of stopped trials, which nothing will ask for again."""

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Delete the checkpoints of a trial that was stopped."""
        if final_state(trial.last_result) is TrialState.PRUNED:
            for folder in Path(trial.path).glob("checkpoint_*"):
                shutil.rmtree(folder, ignore_errors=True)
