"""Small data: training sets drawn anew, on which what is trained can be compared in pairs."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Final

import torch
from scipy.stats import ttest_rel
from searches import versions

from trainable.config import TrialConfig
from trainable.data.datasets import load_dataset
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from trainable.store.arrays import open_store


@dataclass(frozen=True)
class Task:
    """Images to draw from, and the trials to train on them.

    Attributes:
        archive: The images, in the folder of real data.
        weights: A state dict in the same folder.
        trained: Images of a class that are trained and validated on.
        tested: Images of a class for the test.
        splits: The archive's splits that images are drawn from.
        side: The images' side in pixels.
        depths: The unfreeze depths that are tried.
    """

    archive: str
    weights: str
    trained: int
    tested: int
    splits: tuple[str, ...] = ("train",)
    side: int = 64
    depths: tuple[int, ...] = (1, 2)

    def draw(self, folder: Path, real: Path, number: int) -> Path:
        """Images of drawing `number`, as a folder with `train/` and `test/`.

        Args:
            folder: Where the archive is unpacked, and the drawings are.
            real: The folder of real data.
            number: Of two, no image is drawn at the same place.
        """
        target = folder / f"{self.trained}-{number}"
        if target.exists():
            return target
        for label, files in self._files(folder, real).items():
            order = sorted(files, key=lambda file: _draw(number, file.name))
            taken = {"test": order[: self.tested], "train": order[self.tested :][: self.trained]}
            for split, some in taken.items():
                (target / split / label).mkdir(parents=True)
                for file in some:
                    os.link(file, target / split / label / f"{file.parents[1].name}-{file.name}")
        return target

    def config(self, images: Path, real: Path, depth: int, **sections: Any) -> TrialConfig:
        """A trial on a drawing: AdamW, one cycle, flips."""
        tree: dict[str, dict[str, Any]] = {
            "data": {"source": "image_folder", "root": images, "image_size": self.side},
            "model": {"weights": str(real / self.weights), "unfreeze_depth": depth},
            "augment": {"policy": "flip"},
            "optim": {"lr": 1e-3 if depth else 3e-3, "weight_decay": 1e-2},
            "train": {"epochs": 8, "batch_size": 32},
        }
        for name, section in sections.items():
            tree[name] = {**tree.get(name, {}), **section}
        return TrialConfig.model_validate(tree)

    def _files(self, folder: Path, real: Path) -> Mapping[str, list[Path]]:
        unpacked = folder / "all"
        if not unpacked.exists():
            with tarfile.open(real / "data" / self.archive) as tar:
                tar.extractall(folder / "unpacking", filter="data")
            (folder / "unpacking").rename(unpacked)
        (root,) = unpacked.iterdir()
        found = defaultdict(list)
        for split in self.splits:
            for file in (root / split).glob("*/*.jpg"):
                found[file.parent.name].append(file)
        return found


TO_LAYER3: Final = "weights/resnet18-imagenet-to-layer3.pt"
COMPLETE: Final = "weights/resnet18-complete.pt"
TASKS: Final[dict[str, Task]] = {
    "hymenoptera": Task(
        "hymenoptera.tar", COMPLETE, 122, 76, splits=("train", "val"), depths=(0, 1)
    ),
    "cifar10_500": Task("cifar10-jpeg.tar.gz", TO_LAYER3, 50, 100),
    "cifar10_2000": Task("cifar10-jpeg.tar.gz", TO_LAYER3, 200, 100),
}
"""By name. CIFAR-10 is CIFAR-10 (JPEG), with images for the test from its training images too."""


Point = dict[str, float]
"""The figures on one drawing."""


def options(description: str | None, draws: int, quick: str) -> argparse.ArgumentParser:
    """The options of a script that compares on drawings.

    Args:
        description: The script's.
        draws: How many drawings, unless told otherwise.
        quick: What `--quick` does.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--only", choices=TASKS, help="one task")
    parser.add_argument("--draws", type=int, default=draws)
    parser.add_argument("--first", type=int, default=0, help="the first draw: others judge a rule")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser


def compare(
    given: argparse.Namespace,
    draws: int,
    drawing: Callable[[Task, Path, Path, int], list[Point]],
    summary: Callable[[list[Point]], Sequence[Mapping[str, float | str]]],
) -> None:
    """Print a table for each task, then one line of JSON; nothing without the real data.

    Args:
        given: The :func:`options`.
        draws: How many drawings of each task.
        drawing: The figures on one, by task, folder, folder of real data, and number.
        summary: The lines of the table.
    """
    real = os.environ.get("TUNE_REAL_DATA")
    if real is None:
        print(json.dumps({}))
        return
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    torch.set_num_threads(given.threads)
    figures = {}
    for name in [given.only] if given.only else TASKS:
        points: list[Point] = []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(given.first, given.first + draws):
                found = drawing(TASKS[name], Path(folder), Path(real), number)
                print(name, json.dumps(found), flush=True)
                points += found
        figures[name] = summary(points)
        for line in figures[name]:
            print(f"{name:14s} {line}", flush=True)
    print(json.dumps(figures))


def tuner_of(config: TrialConfig, store: Path) -> FineTuner:
    """A trial on all cores that this process may use, with a store."""
    device = resolve_device(config.train.precision, use_gpu=False)
    return FineTuner(config, device, open_store(str(store), 4 * 10**9))


def curve(tuner: FineTuner) -> Iterator[dict[str, float]]:
    """The metrics of each epoch of a trial."""
    while not tuner.finished:
        yield tuner.train_epoch()


def best_of(epochs: list[dict[str, float]]) -> int:
    """The index of the best epoch, as a search takes it."""
    return max(range(len(epochs)), key=lambda i: (epochs[i]["val_acc"], -epochs[i]["val_loss"], -i))


def paired(name: str, ours: list[float], theirs: list[float]) -> dict[str, float | str]:
    """By how many points the first are better than the second, with a paired t-test's p."""
    gains = [100 * (a - b) for a, b in zip(ours, theirs, strict=True)]
    return {
        "what": name,
        "ours": round(100 * mean(ours), 2),
        "theirs": round(100 * mean(theirs), 2),
        "gain": round(mean(gains), 2),
        "spread": round(stdev(gains), 2),
        "p": round(float(ttest_rel(ours, theirs).pvalue), 4) if any(gains) else 1.0,
        "pairs": len(gains),
    }


def forget() -> None:
    """Let the images of a drawing go."""
    load_dataset.cache_clear()


def _draw(number: int, name: str) -> str:
    return hashlib.sha256(f"{number} {name}".encode()).hexdigest()
