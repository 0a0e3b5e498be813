"""Trials that sleep through their epochs, and how busy they keep what they run on."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any, ClassVar

from ray.tune import Trainable

STEPS = "steps"
"""The file of a trial with the time at which each epoch began and ended."""


class Sleeping(Trainable):
    """A trial that sleeps. Its results are a function of its config, as those of a real one are."""

    epoch_seconds: ClassVar[float] = 10.0

    def setup(self, config: dict[str, Any]) -> None:
        """Become the trial of a spec."""
        self._random = random.Random(json.dumps(config["trial"], sort_keys=True))
        self._best = self._random.uniform(0.5, 0.99)
        self._last, self._epoch = config["trial"]["train"]["epochs"], 0
        folder = Path(config["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        self._steps = folder / STEPS

    def step(self) -> dict[str, Any]:
        """Sleep through an epoch, which takes a fifth more or less than others."""
        self._note()
        seconds = self.epoch_seconds * self._random.uniform(0.8, 1.2)
        time.sleep(seconds)
        self._note()
        self._epoch += 1
        accuracy = self._best * (1 - 0.5**self._epoch)
        finished = self._epoch == self._last
        facts = {"device": "cpu", "precision": "fp32", "threads": 1, "micro_batches": 1}
        return {
            "train_loss": 1.0,
            "train_acc": 0.5,
            "val_loss": 1.0 - accuracy,
            "val_acc": accuracy,
            "epoch_seconds": seconds,
            "epoch": self._epoch,
            **facts,
            "compiled": False,
            "processor": "none",
            "finished": finished,
            "done": finished,
        }

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process."""
        self.setup(new_config)
        return True

    def _note(self) -> None:
        with self._steps.open("a") as file:
            file.write(f"{time.time()}\n")


def slept(folder: Path, since: float, until: float) -> float:
    """The seconds that trials slept within a time, all together.

    Args:
        folder: The folder of their folders.
        since: The start of that time, in seconds since 1970.
        until: Its end; what is not said to have ended has lasted until then.
    """
    total = 0.0
    for path in folder.glob(f"trial-*/{STEPS}"):
        times = [float(line) for line in path.read_text().splitlines()]
        for begun, ended in zip(times[::2], [*times[1::2], until], strict=False):
            total += max(0.0, min(ended, until) - max(begun, since))
    return total
