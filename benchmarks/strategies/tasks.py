"""What strategies are compared on: data, a backbone, and a space wider than any preset's."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tune.config.schema import SearchConfig

LENGTHS: Final = (2, 6)
"""Epochs that each config is trained for: a schedule of two says more after two epochs than one of
six, and costs as much."""

SPACE: Final[dict[str, Any]] = {
    "optim.name": ["sgd", "adamw"],
    "optim.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "optim.weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "optim.layer_decay": [0.4, 0.65, 1.0],
    "optim.label_smoothing": [0.0, 0.1],
    "schedule.warmup": [0.1, 0.3],
    "augment.policy": ["none", "flip", "flip_crop", "trivial", "rand"],
    "augment.mixup": [0.0, 0.2],
    "train.batch_size": [32, 64, 128],
    "model.unfreeze_depth": {"low": 0, "high": 5},
}

ANIMALS: Final = ("bird", "cat", "deer", "dog", "frog", "horse")
VEHICLES: Final = ("airplane", "automobile", "ship", "truck")
BUNDLED: Final = "bundled"
TO_LAYER3: Final = "weights/resnet18-imagenet-to-layer3.pt"
COMPLETE: Final = "weights/resnet18-complete.pt"


@dataclass(frozen=True)
class Task:
    """Images to learn, and what to start from.

    Attributes:
        side: The images' side in pixels.
        weights: `bundled`, or a state dict in the folder of real data.
        archive: The images, in the folder of real data; None is the digits.
        classes: The classes that are taken; empty is all.
        per_class: The training images of a class that are taken, at most.
        tested: The test images of a class that are taken, at most.
        space: What is searched otherwise than in `SPACE`.
    """

    side: int
    weights: str
    archive: str | None = None
    classes: tuple[str, ...] = ()
    per_class: int = 10_000
    tested: int = 50
    space: Mapping[str, Any] | None = None

    def config(self, folder: Path, real: Path) -> SearchConfig:
        """The search's config.

        Args:
            folder: Where :meth:`unpack` puts its images, and its store is.
            real: The folder of real data.
        """
        data: dict[str, Any] = {"image_size": self.side}
        weights = self.weights
        if self.archive is not None:
            data |= {"source": "image_folder", "root": str(folder / "images")}
            weights = str(real / self.weights)
        return SearchConfig.model_validate(
            {
                "data": data,
                "model": {"weights": weights},
                "augment": {"num_views": max(LENGTHS)},
                # Named, so that all curves are of one kind; the faster one on CPUs with AMX.
                "train": {"epochs": max(LENGTHS), "precision": "bf16"},
                "space": {**SPACE, **(self.space or {})},
                "sampler": {"name": "random"},
                "resources": {"cpu": 1, "gpu": 0},
                "cache": {"root": str(folder / "store"), "max_gb": 12},
            }
        )

    def unpack(self, folder: Path, real: Path) -> None:
        """Unpack the images that are taken, the first of each class by name."""
        target = folder / "images"
        if self.archive is None or target.exists():
            return
        taken: Counter[tuple[str, str]] = Counter()
        with tarfile.open(real / "data" / self.archive) as tar:
            for member in sorted(tar.getmembers(), key=lambda one: one.name):
                parts = PurePosixPath(member.name).parts
                if not member.isfile() or len(parts) != len(("archive", "split", "class", "file")):
                    continue
                _, split, label, name = parts
                split = "test" if split == "val" else split  # hymenoptera has no other
                most = self.per_class if split == "train" else self.tested
                if (self.classes and label not in self.classes) or taken[split, label] == most:
                    continue
                taken[split, label] += 1
                member.name = str(PurePosixPath(split, label, name))
                tar.extract(member, folder / "unpacking", filter="data")
        (folder / "unpacking").rename(target)


def overlap(one: str, other: str) -> bool:
    """Whether two tasks share images: what was learned on one says too much of the other."""
    first, second = TASKS[one], TASKS[other]
    if one == other or first.archive != second.archive:
        return one == other
    shared = not first.classes or not second.classes or set(first.classes) & set(second.classes)
    return bool(shared)


def teachers(task: str | None = None) -> list[str]:
    """The tasks that a portfolio is learned from: those of photographs.

    The digits, whose network is the bundled one, teach nothing: the presets that try a portfolio
    start from another.

    Args:
        task: What the portfolio is for; it is left out, and so is what shares images with it.
    """
    return [
        name
        for name, known in TASKS.items()
        if known.weights != BUNDLED and not (task and overlap(name, task))
    ]


DIGITS_SPACE: Final = {"augment.policy": ["none", "flip_crop", "trivial", "rand"]}
TRAINED: Final = {"model.unfreeze_depth": {"low": 1, "high": 5}}
"""The depths where layer4 has to be trained, since the weights lack it."""


def _cifar10(side: int, per_class: int, classes: tuple[str, ...] = (), tested: int = 50) -> Task:
    archive = "cifar10-jpeg.tar.gz"
    return Task(side, TO_LAYER3, archive, classes, per_class, tested, TRAINED)


TASKS: Final[dict[str, Task]] = {
    "digits": Task(32, BUNDLED, space=DIGITS_SPACE),
    "hymenoptera": Task(96, COMPLETE, "hymenoptera.tar", tested=100),
    "cifar10_500": _cifar10(64, 50),
    "cifar10_2000": _cifar10(48, 200),
    "cifar10_5000": _cifar10(48, 500),
    "animals_1200": _cifar10(48, 200, ANIMALS, tested=100),
    "vehicles_400": _cifar10(64, 100, VEHICLES, tested=125),
}
"""By name. CIFAR-10 is CIFAR-10 (JPEG)."""
