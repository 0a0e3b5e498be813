"""Whether to train the winner again on training and validation images together.

    TUNE_REAL_DATA=FOLDER python benchmarks/refit.py      # an hour and more on two cores
    TUNE_REAL_DATA=FOLDER python benchmarks/refit.py --quick --only cifar10_500

`TUNE_REAL_DATA` is a folder that holds `data/` and `weights/`. For each task, training sets are
drawn anew, `--draws` times, with other images for the test. On each, for each depth:

- *single*: trained on the training split, 80 % of the images, and taken after the epoch that was
  the best on the validation split. Two seeds.
- *refit*: trained on all the images for as many epochs as were the best on average over five folds;
  or as the single's validation chose.
- *soup*: the weights of the seeds averaged, of singles and of refits, as all of one recipe.

Test accuracies are means over the seeds; gains are paired over draws and depths. And beside them
how far off the test accuracy an estimate is: the best validation accuracy of the single, and the
mean over folds. The test images serve this page alone: nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any, Final

import torch
from searches import versions
from small_data import TASKS, Task, best_of, curve, forget, paired, tuner_of
from torch import Tensor

from trainable.config import TrialConfig
from trainable.network.soup import average

SEEDS: Final = 2
FOLDS: Final = 5

Point = dict[str, float]


def main() -> None:
    """Print a table for each task, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two draws, three epochs")
    parser.add_argument("--only", choices=TASKS, help="one task")
    parser.add_argument("--draws", type=int, default=5)
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
        task, epochs = TASKS[name], {"epochs": 3} if given.quick else {}
        points = []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(2 if given.quick else given.draws):
                points += drawing(task, Path(folder), Path(real), number, epochs)
                print(name, json.dumps(points[-len(task.depths) :]), flush=True)
        figures[name] = summary(points)
        for line in figures[name]:
            print(f"{name:14s} {line}", flush=True)
    print(json.dumps(figures))


def drawing(
    task: Task, folder: Path, real: Path, number: int, epochs: dict[str, int]
) -> list[Point]:
    """The test accuracies on one drawing, for each depth."""
    forget()
    images = task.draw(folder, real, number)
    return [measure(task, images, real, depth, epochs, folder / "store") for depth in task.depths]


def measure(
    task: Task, images: Path, real: Path, depth: int, epochs: dict[str, int], store: Path
) -> Point:
    """What each way of training comes to, on one drawing at one depth."""

    def config(seed: int, fold: str | None = None, stop: int | None = None) -> TrialConfig:
        train = {**epochs, "seed": seed, "stop_after": stop}
        return task.config(images, real, depth, data={"fold": fold}, train=train)

    singles = [trained(config(seed), store) for seed in range(SEEDS)]
    folds = [
        list(curve(tuner_of(config(0, f"{fold}/{FOLDS}"), store))) for fold in range(1, FOLDS + 1)
    ]
    over = [{key: mean(f[i][key] for f in folds) for key in f0} for i, f0 in enumerate(folds[0])]
    best, own = best_of(over), singles[0]["epoch"]
    refits = [trained(config(seed, "all", best + 1), store) for seed in range(SEEDS)]
    by_own = trained(config(0, "all", own + 1), store)
    return {
        "depth": depth,
        "epochs": best + 1,
        "own_epochs": own + 1,
        "single": mean(one["test"] for one in singles),
        "refit": mean(one["test"] for one in refits),
        "single_0": singles[0]["test"],
        "refit_by_own_epochs": by_own["test"],
        "soup": soup(config(0), [one["weights"] for one in singles], store),
        "soup_of_refits": soup(config(0, "all"), [one["weights"] for one in refits], store),
        "error_of_validation": abs(singles[0]["val"] - singles[0]["test"]),
        "error_of_folds": abs(over[best]["val_acc"] - singles[0]["test"]),
        "bias_of_validation": singles[0]["val"] - singles[0]["test"],
        "bias_of_folds": over[best]["val_acc"] - singles[0]["test"],
    }


def trained(config: TrialConfig, store: Path) -> dict[str, Any]:
    """A trial after its best epoch, or after its last where it has no validation images."""
    tuner, epochs, states = tuner_of(config, store), [], []
    for metrics in curve(tuner):
        epochs.append(metrics)
        states.append({k: v.clone() for k, v in tuner.network.tail_state().items()})
    best = len(epochs) - 1 if config.data.keeps_no_validation else best_of(epochs)
    tuner.network.load_tail_state(states[best])
    test = tuner.evaluate("test").accuracy
    return {"epoch": best, "test": test, "val": epochs[best]["val_acc"], "weights": states[best]}


def soup(config: TrialConfig, states: list[dict[str, Tensor]], store: Path) -> float:
    """The test accuracy of the mean of some weights."""
    tuner = tuner_of(config, store)
    tuner.network.load_tail_state(average(states))
    tuner.reestimate_statistics()
    return tuner.evaluate("test").accuracy


def summary(points: list[Point]) -> list[dict[str, float | str]]:
    """The gains over all drawings and depths."""

    def of(name: str) -> list[float]:
        return [point[name] for point in points]

    return [
        paired("refit - single", of("refit"), of("single")),
        paired("refit by the single's epochs - single", of("refit_by_own_epochs"), of("single_0")),
        paired("soup - single", of("soup"), of("single")),
        paired("refit - soup", of("refit"), of("soup")),
        paired("soup of refits - soup", of("soup_of_refits"), of("soup")),
        paired("soup of refits - refit", of("soup_of_refits"), of("refit")),
        paired("error of folds - of validation", of("error_of_folds"), of("error_of_validation")),
        {
            f"bias of {name}": round(100 * mean(of(f"bias_of_{name}")), 2)
            for name in ("validation", "folds")
        },
    ]


if __name__ == "__main__":
    main()
