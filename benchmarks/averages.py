"""Whether averaged weights and mirrored images at the test pay on small data.

    TUNE_REAL_DATA=FOLDER python benchmarks/averages.py      # half an hour on two free cores
    TUNE_REAL_DATA=FOLDER python benchmarks/averages.py --quick --only cifar10_500

`TUNE_REAL_DATA` is a folder that holds `data/` and `weights/`. For each task, training sets are
drawn anew, with other images to judge by, all from the archive's training images (for hymenoptera,
from all). On each, for each depth and two seeds, a trial is trained, and judged by those images
after the epoch that its validation split chose:

- `optim.ema`: as trained, and with moving averages of decay 0.9, 0.97 and 0.99. They change nothing
  of the training, so all are taken along one run; each chooses its epoch by its own validation.
- `predict.flips`: with and without the mirror images.

Gains are paired over draws, depths and seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Final

import torch
from searches import versions
from small_data import TASKS, Task, best_of, curve, forget, paired, tuner_of

from trainable.config import PredictConfig
from trainable.finetuner import FineTuner
from trainable.network.averaging import MovingAverage
from trainable.network.cut_network import CutNetwork

SEEDS: Final = 2
DECAYS: Final = (0.9, 0.97, 0.99)

Point = dict[str, float]


def main() -> None:
    """Print a table for each task, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one draw, three epochs")
    parser.add_argument("--only", choices=TASKS, help="one task")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    real = os.environ.get("TUNE_REAL_DATA")
    if real is None:
        print(json.dumps({}))
        return
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    torch.set_num_threads(given.threads)
    figures = {}
    for name in [given.only] if given.only else TASKS:
        points = []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(1 if given.quick else given.draws):
                points += drawing(TASKS[name], Path(folder), Path(real), number, quick=given.quick)
                print(name, json.dumps(points[-1]), flush=True)
        figures[name] = summary(points)
        for line in figures[name]:
            print(f"{name:14s} {line}", flush=True)
    print(json.dumps(figures))


def drawing(task: Task, folder: Path, real: Path, number: int, *, quick: bool) -> list[Point]:
    """The figures on one drawing, for each depth and seed."""
    forget()
    images, points = task.draw(folder, real, number), []
    for depth in task.depths:
        for seed in range(SEEDS):
            train = {"seed": seed, **({"epochs": 3} if quick else {})}
            config = task.config(images, real, depth, train=train)
            points.append({"depth": depth, **measure(tuner_of(config, folder / "store"))})
    return points


def measure(tuner: FineTuner) -> Point:
    """How good a trial is, as trained and by each way of answering."""
    averages = {f"ema_{decay}": MovingAverage(tuner.network, decay) for decay in DECAYS}
    plain = Several(tuner.network, list(averages.values()))
    curves: dict[str, list[dict[str, float]]] = {name: [] for name in ("plain", *averages)}
    tuner._average = plain
    for _ in curve(tuner):
        for name, average in (("plain", plain), *averages.items()):
            tuner._average = average
            curves[name].append(judged(tuner))
        tuner._average = plain
    chosen = {name: epochs[best_of(epochs)] for name, epochs in curves.items()}
    own = chosen["plain"]
    return {
        **{name: epoch["test_acc"] for name, epoch in chosen.items()},
        "flips": own["test_acc_flips"],
        "plain_loss": own["test_loss"],
        "flips_loss": own["test_loss_flips"],
    }


class Several(MovingAverage):
    """No average, which has others take in each update."""

    def __init__(self, network: CutNetwork, others: list[MovingAverage]) -> None:
        super().__init__(network, 0.0)
        self._others = others

    def update(self) -> None:
        """Have the others take in the weights as they are now."""
        for other in self._others:
            other.update()


def judged(tuner: FineTuner) -> dict[str, float]:
    """Its validation, and what it is worth on the other images, with and without mirror images."""
    val, test = tuner.evaluate("val"), tuner.evaluate("test")
    config = tuner.config
    tuner.config = config.model_copy(update={"predict": PredictConfig(flips=True)})
    flips = tuner.evaluate("test")
    tuner.config = config
    return {
        "val_acc": val.accuracy,
        "val_loss": val.loss,
        "test_acc": test.accuracy,
        "test_loss": test.loss,
        "test_acc_flips": flips.accuracy,
        "test_loss_flips": flips.loss,
    }


def summary(points: list[Point]) -> list[dict[str, float | str]]:
    """The gains over all drawings, depths and seeds."""

    def of(name: str) -> list[float]:
        return [point[name] for point in points]

    names = [*(f"ema_{decay}" for decay in DECAYS), "flips"]
    lines = [paired(f"{name} - plain", of(name), of("plain")) for name in names]
    return [*lines, paired("loss: flips - plain", of("flips_loss"), of("plain_loss"))]


if __name__ == "__main__":
    main()
