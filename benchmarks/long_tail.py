"""A long tail: what a search comes to by accuracy, by balanced accuracy, and with class weights.

    TUNE_REAL_DATA=FOLDER python benchmarks/long_tail.py            # some hours on two cores
    TUNE_REAL_DATA=FOLDER python benchmarks/long_tail.py --quick    # one drawing, four trials

`TUNE_REAL_DATA` is a folder that holds `data/` and `weights/`. CIFAR-10 (JPEG) with 500 training
images of the first class and 10 of the last, by equal factors between; which class is which is
drawn anew, `--draws` times. The test has 100 images of every class. On each drawing, whole searches
of the same budget, as a user runs them:

- *accuracy*: `objective.metric=val_acc`, the default;
- *balanced*: `objective.metric=val_balanced_acc`;
- *weights*: the same, with `train.class_weights` and `train.sampler` in the space.

Test figures are those of the model that each search registers; `rare` is the mean recall of the
three classes with the fewest images.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any, Final

from mlflow import MlflowClient
from searches import REPOSITORY, result, unpack, versions

MOST: Final = 500
LEAST: Final = 10
TESTED: Final = 100
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
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(real).resolve() / "data" / "cifar10-jpeg.tar.gz"
        images = unpack(archive, folder)
        for number in range(1 if given.quick else given.draws):
            root, rare = draw(images, Path(folder) / f"tail-{number}", number)
            for name, words in VARIANTS.items():
                figures = searched(root, [*common(Path(real), quick=given.quick), *words], rare)
                found[name].append(figures)
                print(f"drawing {number}  {name:10s} {figures}", flush=True)
    means = {
        name: {key: round(mean(row[key] for row in rows), 4) for key in rows[0]}
        for name, rows in found.items()
    }
    for name, figures in means.items():
        print(f"{name:10s} {figures}")
    print(json.dumps({"draws": len(found["accuracy"]), **means}))


def draw(images: Path, target: Path, number: int) -> tuple[Path, list[str]]:
    """A drawing of images with a long tail.

    Args:
        images: The whole data set, with `train/` and `test/`.
        target: The folder to make.
        number: The drawing's: decides the order of the classes, and the images.

    Returns:
        The folder, and the classes with the fewest images.
    """
    draws = random.Random(number)
    classes = sorted(path.name for path in (images / "train").iterdir())
    draws.shuffle(classes)
    for place, name in enumerate(classes):
        count = round(MOST * (LEAST / MOST) ** (place / (len(classes) - 1)))
        for split, many in (("train", count), ("test", TESTED)):
            files = sorted((images / split / name).iterdir())
            (target / split / name).mkdir(parents=True)
            for file in draws.sample(files, many):
                os.link(file, target / split / name / file.name)
    return target, classes[-RARE:]


def common(real: Path, *, quick: bool) -> list[str]:
    """What all searches have."""
    words = [
        "name=tail",
        f"model.weights={real.resolve() / WEIGHTS}",
        "model.unfreeze_depth=1",
        "space.optim.lr={low: 1e-4, high: 1e-2, log: true}",
        "augment.policy=flip_crop",
        "data.image_size=64",
        "train.epochs=8",
        "train.batch_size=32",
        "space.model.unfreeze_depth={low: 1, high: 3}",
        "budget.num_samples=20",
        "confirm.top_k=2",
    ]
    fast = ["data.image_size=32", "train.epochs=4", "budget.num_samples=4", "confirm.top_k=0"]
    return [*words, *fast] if quick else words


def searched(root: Path, words: list[str], rare: list[str]) -> dict[str, float]:
    """Run a search in a folder of its own; returns the figures of the model it registered."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tune.search", "--config", "image_folder", *words]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
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
