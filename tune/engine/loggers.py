"""Ray's own loggers, which show epochs beside MLflow's record: TensorBoard, Weights & Biases."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback, TBXLoggerCallback

from tune.config.schema import SearchConfig
from tune.engine.ray_compat import ITERATION, DriverOnly, write_events_to
from tune.study.folder import SearchFolder

_BOARD: Final = "tensorboard"
"""The folder, in the search's, of what TensorBoard shows."""


class _Epochs(LoggerCallback):
    """Logs an epoch by its own number, which Ray's count is not once a trial has gone on."""

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        """Log an epoch; the report of an error is none."""
        if "epoch" in result:
            numbered = {**result, ITERATION: result["epoch"]}
            super().log_trial_result(result["epoch"], trial, numbered)


class _TensorBoard(DriverOnly, _Epochs, TBXLoggerCallback):
    """Ray's logger, which writes a folder for each trial that stays when Ray's own are deleted."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        write_events_to(self, folder)


def _wandb(project: str, group: str) -> Callback:
    """Ray's logger: a run for each trial, in a group for each search."""
    # With wandb itself, where it is installed, which takes seconds.
    from ray.air.integrations.wandb import WandbLoggerCallback

    class Wandb(DriverOnly, _Epochs, WandbLoggerCallback):
        pass

    return Wandb(project=project, group=group)


def loggers(config: SearchConfig, home: SearchFolder) -> list[Callback]:
    """What a search's config asks for besides MLflow.

    Args:
        config: The search's.
        home: Its folder.
    """
    made = {
        "tensorboard": partial(_TensorBoard, home.folder / _BOARD),
        "wandb": partial(_wandb, config.name, home.name),
    }
    return [made[name]() for name in config.tracking.also]
