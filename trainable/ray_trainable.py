"""The trial as Ray Tune runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch
from ray import tune

from trainable.array_store import open_store
from trainable.config import TrialConfig
from trainable.device import resolve_device
from trainable.finetuner import FineTuner

CHECKPOINT_FILE = "trial.pt"


class TrialSpec(TypedDict):
    """What Ray passes to a trial.

    Attributes:
        number: Of the trial in its search, from 0.
        trial: A :class:`TrialConfig`, dumped as JSON.
        threads: CPU threads.
        memory_fraction: Share of the GPU's memory, or None for all.
        cache_root: Folder of the node's store of activations, or None for the default.
        cache_bytes: Its cap; 0 is no store.
    """

    number: int
    trial: dict[str, Any]
    threads: int
    memory_fraction: float | None
    cache_root: str | None
    cache_bytes: int


class FineTuneTrainable(tune.Trainable):
    """A :class:`FineTuner` as a Ray trainable: one step is one epoch.

    Every step's result holds the metrics of :meth:`FineTuner.train_epoch`, `finished`
    (the trial ended itself, rather than being stopped) and what its device resolved to.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Build the trial of a :class:`TrialSpec`."""
        trial = TrialConfig.model_validate(config["trial"])
        device = resolve_device(trial.train.precision, config["threads"], config["memory_fraction"])
        store = open_store(config["cache_root"], config["cache_bytes"])
        self._tuner = FineTuner(trial, device, store)

    def step(self) -> dict[str, Any]:
        """Train an epoch."""
        metrics = self._tuner.train_epoch()
        finished = self._tuner.finished
        device = self._tuner.device
        return {
            **metrics,
            "finished": finished,
            "done": finished,
            "device": device.torch_device.type,
            "precision": device.precision,
            "threads": device.num_threads,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the trial's state into `checkpoint_dir`."""
        torch.save(self._tuner.state_dict(), Path(checkpoint_dir) / CHECKPOINT_FILE)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Go on from a state in `checkpoint_dir`."""
        self._tuner.load_state_dict(read_checkpoint(Path(checkpoint_dir)))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process, which keeps the data in memory."""
        self.setup(new_config)
        return True


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The state that :meth:`FineTuneTrainable.save_checkpoint` wrote; no code is unpickled."""
    state: dict[str, Any] = torch.load(
        folder / CHECKPOINT_FILE, map_location="cpu", weights_only=True
    )
    return state
