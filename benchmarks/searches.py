"""Whole searches, run as a user runs them: wall time, accuracy, and the best run beside the soup.

    python benchmarks/searches.py            # all
    python benchmarks/searches.py --only hymenoptera
    python benchmarks/searches.py --quick    # the digits alone, six trials

The digits always run. Ants and bees (hymenoptera) and CIFAR-10 (JPEG) need
`TUNE_REAL_DATA`, a folder that holds `data/hymenoptera.tar`, `data/cifar10-jpeg.tar.gz` and
`weights/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mlflow import MlflowClient

from trainable.device import cpu_precision

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class Search:
    """A search to time: its name, config, overrides, and the archive of its images."""

    name: str
    config: str
    overrides: tuple[str, ...] = ()
    archive: str | None = None


DIGITS = Search("digits", "digits.yaml")
HYMENOPTERA = Search(
    "hymenoptera",
    "image_folder.yaml",
    ("name=hymenoptera", "model.weights=$REAL/weights/resnet18-complete.pt"),
    archive="hymenoptera.tar",
)
CIFAR10 = Search(
    "cifar10_jpeg",
    "image_folder.yaml",
    (
        "name=cifar10_jpeg",
        "model.weights=$REAL/weights/resnet18-imagenet-to-layer3.pt",
        "model.unfreeze_depth=1",
        "space.model.unfreeze_depth={low: 1, high: 5}",
        "space.augment.policy=[none, flip, flip_crop]",
        "data.limit=5000",
        "data.image_size=112",
        "data.val_fraction=0.1",
        "optim.lr=1e-3",
        "space.optim.lr={low: 1e-4, high: 1e-2, log: true}",
        "train.epochs=4",
        "train.batch_size=64",
        "budget.num_samples=8",
    ),
    archive="cifar10-jpeg.tar.gz",
)


def main() -> None:
    """Run the searches and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the digits alone, six trials")
    parser.add_argument("--only", metavar="NAME", help="one of the searches")
    arguments = parser.parse_args()
    quick = arguments.quick
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {versions()}")
    real = os.environ.get("TUNE_REAL_DATA")
    searches = [DIGITS] if quick or not real else [DIGITS, HYMENOPTERA, CIFAR10]
    figures = {}
    for search in searches:
        if arguments.only not in {None, search.name}:
            continue
        figures[search.name] = run(search, real, ["budget.num_samples=6"] if quick else [])
        print(f"{search.name:14s} {figures[search.name]}", flush=True)
    print(json.dumps(figures))


def versions() -> str:
    """The machine's precision and the packages that matter."""
    names = ("torch", "torchvision", "ray", "optuna", "mlflow")
    precision = cpu_precision("auto")
    return ", ".join([precision, *(f"{name} {version(name)}" for name in names)])


def run(search: Search, real: str | None, extra: list[str]) -> dict[str, float]:
    """Run one search in a folder of its own; returns its figures."""
    with tempfile.TemporaryDirectory() as folder:
        words = [word.replace("$REAL", str(real)) for word in search.overrides]
        if search.archive is not None:
            words.append(f"data.root={unpack(Path(str(real)) / 'data' / search.archive, folder)}")
        command = [sys.executable, "-m", "tune.search", *words, *extra]
        command += ["--config", str(REPOSITORY / "configs" / search.config)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        start = time.monotonic()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
        seconds = round(time.monotonic() - start)
        return {"wall_seconds": seconds, **result(Path(folder))}


def unpack(archive: Path, folder: str) -> Path:
    """Unpack an archive with one folder in it; returns that folder."""
    target = Path(folder) / "images"
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    (only,) = target.iterdir()
    return only


def result(folder: Path) -> dict[str, float]:
    """What the search recorded on its parent run."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    (parent,) = client.search_runs(experiments, "tags.`tune.kind` = 'search'")
    trials = client.search_runs(experiments, "tags.`tune.kind` = 'trial'")
    metrics = parent.data.metrics
    return {"trials": len(trials), **{name: round(metrics[name], 4) for name in sorted(metrics)}}


if __name__ == "__main__":
    main()
