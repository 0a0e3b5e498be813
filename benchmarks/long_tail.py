"""A long tail: what a search comes to by accuracy, by balanced accuracy, and with class weights.

    TUNE_REAL_DATA=FOLDER python benchmarks/long_tail.py            # half an hour with --draws 3
    TUNE_REAL_DATA=FOLDER python benchmarks/long_tail.py --quick    # one drawing, four trials

`TUNE_REAL_DATA` is a folder that holds `data/` and `weights/`. CIFAR-10 (JPEG) with 500 training
images of the first class and 10 of the last, by equal factors between; which class is which is
drawn anew, `--draws` times. The test has 300 images of every class. On each drawing, whole searches
of the same budget, as a user runs them:

- *accuracy*: `objective.metric=val_acc`, the default;
- *balanced*: `objective.metric=val_balanced_acc`;
- *weights*: the same, with `train.class_weights` and `train.sampler` in the space.

Test figures are those of the model that each search registers; `rare` is the mean recall of the
three classes with the fewest images. Searches on one drawing share seeds, images and cache,
and each drawing has seeds of its own; what is compared is the differences, drawing by drawing, with
a t interval of their mean.

What is small here is small for time: 48 px, 6 epochs, 16 trials, and finalists that are not run
again. More drawings say more than longer searches do: drawings differ by more than a search that is
started again. Of the trials the first six are the config's values and points that were learned
elsewhere, which have no weights: ten are left to search them, and none with `--quick`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final

from mlflow import MlflowClient
from scipy.stats import ttest_rel
from searches import REPOSITORY, result, versions

MOST: Final = 500
LEAST: Final = 10
TESTED: Final = 300
"""Test images of each class."""
RARE: Final = 3
"""The classes whose mean recall is shown."""
WEIGHTS: Final = "weights/resnet18-imagenet-to-layer3.pt"
BALANCED: Final = ("objective.metric=val_balanced_acc", "objective.also=[val_acc]")
VARIANTS: Final[dict[str, tuple[str, ...]]] = {
    "accuracy": ("objective.metric=val_acc", "objective.also=[val_balanced_acc]"),
    "balanced": BALANCED,
    "weights": (
        *BALANCED,
        "space.train.class_weights=[none, balanced, effective]",
        "space.train.sampler=[shuffle, balanced]",
    ),
}
"""What each search is given beyond what all have."""


def main() -> None:
    """Search on each drawing, print a table, then one line of JSON; nothing without real data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one drawing, four trials, 32 px")
    parser.add_argument("--draws", type=int, default=5)
    given = parser.parse_args()
    real = os.environ.get("TUNE_REAL_DATA")
    if real is None:
        print(json.dumps({}))
        return
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    archive = Path(real).resolve() / "data" / "cifar10-jpeg.tar.gz"
    names = listed(archive)
    drawings = [draw(names, number) for number in range(1 if given.quick else given.draws)]
    with tempfile.TemporaryDirectory() as folder:
        images = unpack(archive, drawings, Path(folder) / "images")
        for number, drawing in enumerate(drawings):
            root = drawing.link(images, Path(folder) / f"tail-{number}")
            seeds = [f"sampler.seed={number}", f"train.seed={number}"]
            for name, words in VARIANTS.items():
                every = [*common(Path(real), quick=given.quick), *seeds, *words]
                figures = searched(root, every, drawing.rare, Path(folder) / "cache")
                found[name].append(figures)
                print(f"drawing {number}  {name:10s} {figures}", flush=True)
    means = {
        name: {key: round(mean(row[key] for row in rows), 4) for key in rows[0]}
        for name, rows in found.items()
    }
    for name, figures in means.items():
        print(f"{name:10s} {figures}")
    differences = compared(found)
    for pair, of in differences.items():
        print(f"{pair:20s} {of}")
    print(json.dumps({"draws": len(drawings), **means, "differences": differences}))


def compared(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, Any]]:
    """The mean difference of each two variants over the drawings, and its 95 % t interval."""
    pairs = (("balanced", "accuracy"), ("weights", "accuracy"), ("weights", "balanced"))
    return {
        f"{one} - {other}": {
            key: difference([row[key] for row in found[one]], [row[key] for row in found[other]])
            for key in ("balanced", "accuracy", "rare")
        }
        for one, other in pairs
    }


def difference(ones: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
    """Of paired figures: the mean of their differences, its interval, and how many are above 0."""
    each = [one - other for one, other in zip(ones, others, strict=True)]
    told = {"mean": round(mean(each), 4), "better": sum(value > 0 for value in each)}
    if len(set(each)) < 2:
        return told
    interval = ttest_rel(ones, others).confidence_interval()
    return {**told, "low": round(float(interval.low), 4), "high": round(float(interval.high), 4)}


@dataclass(frozen=True)
class Drawing:
    """Images with a long tail.

    Attributes:
        names: Their names in the archive.
        rare: The classes with the fewest.
    """

    names: tuple[str, ...]
    rare: tuple[str, ...]

    def link(self, images: Path, target: Path) -> Path:
        """Link them into a folder of their own, with `train/` and `test/`; returns it."""
        for name in self.names:
            file = target.joinpath(*Path(name).parts[-3:])
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(images / name, file)
        return target


def listed(archive: Path) -> dict[str, dict[str, list[str]]]:
    """The names of all images, by split and class."""
    found: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    with tarfile.open(archive) as tar:
        for name in sorted(each.name for each in tar if each.isfile()):
            split, label = Path(name).parts[-3:-1]
            found[split].setdefault(label, []).append(name)
    return found


def draw(names: Mapping[str, Mapping[str, Sequence[str]]], number: int) -> Drawing:
    """The drawing of a number, which decides the order of the classes, and the images."""
    draws = random.Random(number)
    classes = sorted(names["train"])
    draws.shuffle(classes)
    chosen: list[str] = []
    for place, name in enumerate(classes):
        count = round(MOST * (LEAST / MOST) ** (place / (len(classes) - 1)))
        for split, many in (("train", count), ("test", TESTED)):
            chosen += draws.sample(names[split][name], many)
    return Drawing(tuple(chosen), tuple(classes[-RARE:]))


def unpack(archive: Path, drawings: Sequence[Drawing], target: Path) -> Path:
    """Unpack what is drawn, which is an eighth of all; returns the folder."""
    wanted = {name for drawing in drawings for name in drawing.names}
    with tarfile.open(archive) as tar:
        tar.extractall(target, (each for each in tar if each.name in wanted), filter="data")
    return target


def common(real: Path, *, quick: bool) -> list[str]:
    """What all searches have."""
    words = [
        "name=tail",
        f"model.weights={real.resolve() / WEIGHTS}",
        "model.unfreeze_depth=1",
        "space.optim.lr={low: 1e-4, high: 1e-2, log: true}",
        "augment.policy=flip_crop",
        "data.image_size=48",
        "train.epochs=6",
        "train.batch_size=32",
        "space.model.unfreeze_depth={low: 1, high: 3}",
        "budget.num_samples=16",
        "confirm.top_k=0",
    ]
    fast = ["data.image_size=32", "train.epochs=4", "budget.num_samples=4"]
    return [*words, *fast] if quick else words


def searched(root: Path, words: list[str], rare: Sequence[str], cache: Path) -> dict[str, float]:
    """Run a search in a folder of its own; returns the figures of the model it registered."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tune.search", "--config", "image_folder", *words]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": str(cache)}
        start = time.monotonic()
        subprocess.run(
            [*command, f"data.root={root}"],
            cwd=folder,
            env=environment,
            check=True,
            stdout=sys.stderr,
        )
        seconds = round(time.monotonic() - start)
        recorded, classes = result(Path(folder)), per_class(Path(folder))
    return {
        "balanced": recorded["test_balanced_acc"],
        "accuracy": recorded["test_acc"],
        "rare": round(mean(classes[name]["recall"] for name in rare), 4),
        "seconds": seconds,
    }


def per_class(folder: Path) -> dict[str, Any]:
    """The figures of each class that a search recorded of its model."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    (parent,) = client.search_runs(experiments, "tags.`tune.kind` = 'search'")
    path = client.download_artifacts(parent.info.run_id, "test.json", str(folder))
    found: dict[str, Any] = json.loads(Path(path).read_text())["per_class"]
    return found


if __name__ == "__main__":
    main()
