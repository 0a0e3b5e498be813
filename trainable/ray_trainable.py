"""The trial as Ray Tune runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from ray import tune

from trainable.array_store import open_store
from trainable.checkpoints import Checkpoints
from trainable.config import TrialConfig
from trainable.device import resolve_device
from trainable.finetuner import FineTuner


class TrialSpec(TypedDict):
    """What Ray passes to a trial.

    Attributes:
        number: Of the trial in its search, from 0.
        trial: A :class:`TrialConfig`, dumped as JSON.
        folder: Where its checkpoints are kept; every node must see it.
        threads: CPU threads.
        memory_fraction: Share of the GPU's memory, or None for all.
        cache_root: Folder of the node's store of activations, or None for the default.
        cache_bytes: Its cap; 0 is no store.
    """

    number: int
    trial: dict[str, Any]
    folder: str
    threads: int
    memory_fraction: float | None
    cache_root: str | None
    cache_bytes: int


class FineTuneTrainable(tune.Trainable):
    """A :class:`FineTuner` as a Ray trainable: one step is one epoch.

    Every step's result holds the metrics of :meth:`FineTuner.train_epoch`, the `epoch`,
    `finished` (the trial ended itself, rather than being stopped), the `best` epoch so far,
    and what its device resolved to.

    After each epoch it keeps a checkpoint, before the result is told. A trial whose folder
    holds one goes on from there: its first step tells that epoch's result again, in case it
    was not heard. Ray's own checkpoints are not used: they are copied once more, and belong to
    one run of Ray.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Build the trial of a :class:`TrialSpec`, or go on with it."""
        trial = TrialConfig.model_validate(config["trial"])
        device = resolve_device(trial.train.precision, config["threads"], config["memory_fraction"])
        store = open_store(config["cache_root"], config["cache_bytes"])
        self._tuner = FineTuner(trial, device, store)
        self._checkpoints = Checkpoints(Path(config["folder"]))
        self._best: dict[str, Any] | None = None
        self._untold: dict[str, Any] | None = None
        state = self._checkpoints.last()
        if state is not None:
            self._tuner.load_state_dict(state["tuner"])
            self._untold, self._best = state["metrics"], state["best"]

    def step(self) -> dict[str, Any]:
        """Train an epoch."""
        metrics, self._untold = self._untold or self._train_epoch(), None
        finished = self._tuner.finished
        device = self._tuner.device
        return {
            **metrics,
            "best": self._best,
            "finished": finished,
            "done": finished,
            "device": device.torch_device.type,
            "precision": device.precision,
            "threads": device.num_threads,
        }

    def _train_epoch(self) -> dict[str, Any]:
        metrics: dict[str, Any] = self._tuner.train_epoch()
        metrics["epoch"] = self._tuner.epoch
        better = self._best is None or rank(metrics) > rank(self._best)
        if better:
            self._best = metrics
        state = {"tuner": self._tuner.state_dict(), "metrics": metrics, "best": self._best}
        self._checkpoints.save(state, best=better)
        return metrics

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process, which keeps the data in memory."""
        self.setup(new_config)
        return True


def rank(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """What makes an epoch better than another: its accuracy, then its lower loss."""
    return metrics["val_acc"], -metrics["val_loss"]
