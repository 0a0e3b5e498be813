"""What `python -m tune.data` finds of copies and of wrong labels that were planted.

    TUNE_REAL_DATA=FOLDER python benchmarks/planted.py    # --quick, --draws N

`TUNE_REAL_DATA` is a folder that holds `data/hymenoptera.tar`, `data/cifar10-jpeg.tar.gz` and
`weights/resnet18-complete.pt`.

Copies: one image in ten is put into another split or class once more: saved again (JPEG, quality
50), of another size, or brighter by a fifth. What was found is compared with what was planted, pair
by pair, less the pairs that are there without any planting.

Wrong labels: 5 % and 10 % of all labels are changed to another class, at random. A head is trained
on the frozen backbone on each of five folds, and judges the images of that fold, as a search that
confirms on folds has them judged; cleanlab names the doubtful ones. Of the doubtful images,
*precision* is the share that was planted, and of the planted ones *recall* the share that is
doubtful. The images' own wrong labels count against it. The backbone that comes with the package
has seen CIFAR-10's training images: so these are its test images.

Memory: the peak of `python -m tune.data --json` on 2,000 and on 20,000 synthetic photographs, in a
process of its own with an empty store, and the time of the first and of the second look.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from searches import unpack, versions

from trainable.config import DataConfig, TrialConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from trainable.runtime import ImageCache
from trainable.store.arrays import ArrayStore, open_store
from tune.soundness.account import Account, examine
from tune.soundness.labels import Judged, doubtful

FOLDS: Final = 5
SHARES: Final = (0.05, 0.1)
PLANTED: Final = 0.1
"""The share of the images of which a copy is planted."""
A_CLASS: Final = 600
"""Images of each class that are taken of CIFAR-10."""
_MEASURED: Final = """
import pathlib, re, sys
from tune.data import app
code = app([*sys.argv[1:], "data.image_size=64", "--json"], standalone_mode=False)
assert code == 0, code
print()
print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""
"""Runs the command, and then prints the most memory that it has taken, in KiB. What the system says
of a process's resources counts its parent's memory too."""
NO_CACHE: Final = ImageCache(max_bytes=0)
Change = Callable[[Image.Image], Image.Image]


def scaled(factor: float) -> Change:
    """Makes an image of another size."""

    def change(image: Image.Image) -> Image.Image:
        width, height = (round(side * factor) for side in image.size)
        return image.resize((width, height), Image.Resampling.LANCZOS)

    return change


@dataclass(frozen=True)
class Task:
    """Images to plant in.

    Attributes:
        name: What they are.
        image_size: Side that the network sees, in pixels.
        weights: Those of the frozen backbone.
        copies: How copies are changed, and the quality with which they are saved.
    """

    name: str
    image_size: int
    weights: str
    copies: dict[str, tuple[Change, int]]


def copies(factor: float) -> dict[str, tuple[Change, int]]:
    """The kinds of copies, where those of another size are so much larger."""
    return {
        "saved again": (lambda image: image, 50),
        "another size": (scaled(factor), 85),
        "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.2), 85),
    }


TASKS: Final = (
    Task("hymenoptera", 224, "$REAL/weights/resnet18-complete.pt", copies(0.5)),
    Task("CIFAR-10 (JPEG), test", 64, "bundled", copies(1.5)),
)


def main() -> None:
    """Print what was found, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one draw of wrong labels")
    parser.add_argument("--draws", type=int, default=3, help="draws of wrong labels")
    given = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    real = os.environ.get("TUNE_REAL_DATA")
    if real is None:
        print("TUNE_REAL_DATA is not set: there are no images to plant in")
        print(json.dumps({}))
        return
    figures: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        roots = {
            TASKS[0].name: unpack(Path(real) / "data" / "hymenoptera.tar", folder),
            TASKS[1].name: cifar(Path(real), Path(folder) / "cifar"),
        }
        for task in TASKS:
            root = roots[task.name]
            figures[task.name] = {"copies": of_copies(task, root, Path(folder) / "planted")}
            draws = 1 if given.quick else given.draws
            figures[task.name]["labels"] = of_labels(task, root, Path(real), Path(folder), draws)
        figures["memory"] = of_memory(Path(folder), given.quick)
    print(json.dumps(figures))


def of_memory(folder: Path, quick: bool) -> list[dict[str, float]]:
    """What looking at so many images takes."""
    found = []
    for count in (1_000, 4_000) if quick else (2_000, 20_000):
        root, cache = folder / f"photos-{count}", folder / f"cache-{count}"
        write_photos(root, count)
        row: dict[str, float] = {"images": count}
        for look in ("first", "second"):
            start = time.perf_counter()
            peak = subprocess.run(
                [sys.executable, "-c", _MEASURED, str(root), f"--out={folder}"],
                env={**os.environ, "TUNE_CACHE": str(cache)},
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            ).stdout.splitlines()[-1]
            row |= {
                f"{look}_seconds": round(time.perf_counter() - start, 1),
                f"{look}_peak_mb": round(int(peak) / 1024),
            }
        print(f"memory {row}", flush=True)
        found.append(row)
    return found


def write_photos(root: Path, count: int) -> None:
    """So many small photographs of nothing, in ten classes, no two of which are alike."""
    draw = np.random.default_rng(0)
    for number in range(count):
        path = root / f"class-{number % 10}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(draw.integers(0, 256, (9, 12, 3), np.uint8))
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(path, "JPEG", quality=80)


def cifar(real: Path, folder: Path) -> Path:
    """Some of CIFAR-10's test images, half of each class as training images and half as test."""
    taken = Counter[str]()
    with tarfile.open(real / "data" / "cifar10-jpeg.tar.gz", "r|gz") as members:
        for member in members:
            *_, split, name, file = ("", "", *member.name.split("/"))
            if split == "test" and file.endswith(".jpg") and taken[name] < A_CLASS:
                target = folder / ("train" if taken[name] % 2 else "test") / name / file
                target.parent.mkdir(parents=True, exist_ok=True)
                content = members.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
                taken[name] += 1
    return folder


def of_copies(task: Task, root: Path, folder: Path) -> dict[str, Any]:
    """How many of the planted copies are found, and what else is."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root, folder)
    config = DataConfig(source="image_folder", root=folder, image_size=task.image_size)
    before = pairs_of(examine(config, NO_CACHE))
    planted = plant(task, folder)
    start = time.perf_counter()
    account = examine(config, NO_CACHE)
    seconds = time.perf_counter() - start
    found = pairs_of(account) - before
    origin = {copy: original for original, copy, _ in planted}
    wrong = [pair for pair in found if not is_right(pair, origin, before)]
    right = {kind: sum(frozenset(p[:2]) in found for p in planted if p[2] == kind)
             for kind in task.copies}  # fmt: skip
    total = Counter(kind for *_, kind in planted)
    figures = {
        "images": len(account.survey),
        "planted": len(planted),
        "recall": {kind: round(right[kind] / total[kind], 3) for kind in task.copies},
        "precision": round(1 - len(wrong) / max(1, len(found)), 3),
        "there_before": len(before),
        "leaks": sum(each.leaks for each in account.copies),
        "seconds": round(seconds, 1),
    }
    print(f"{task.name}: copies {figures}", flush=True)
    return figures


def is_right(pair: frozenset[str], origin: dict[str, str], before: set[frozenset[str]]) -> bool:
    """Whether two images are of one original, or of two that were alike without any planting."""
    originals = frozenset(origin.get(name, name) for name in pair)
    return len(originals) == 1 or originals in before


def plant(task: Task, folder: Path) -> list[tuple[str, str, str]]:
    """Plant copies in other classes and splits; returns the original, the copy and its kind."""
    draw = np.random.default_rng(0)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    classes = sorted({path.parent for path in files})
    planted = []
    chosen = draw.permutation(len(files))[: round(PLANTED * len(files))]
    for number, index in enumerate(chosen.tolist()):
        path, kind = files[index], list(task.copies)[number % len(task.copies)]
        others = [each for each in classes if each != path.parent]
        target = others[int(draw.integers(len(others)))] / f"planted-{number}.jpg"
        change, quality = task.copies[kind]
        with Image.open(path) as image:
            change(image.convert("RGB")).save(target, "JPEG", quality=quality)
        planted.append((str(path.relative_to(folder)), str(target.relative_to(folder)), kind))
    return planted


def pairs_of(account: Account) -> set[frozenset[str]]:
    """The images that are found to be copies of each other, in pairs."""
    names = account.survey.names
    return {
        frozenset((names[one], names[other]))
        for each in account.copies
        for one, other in combinations(each.members, 2)
    }


def of_labels(
    task: Task, root: Path, real: Path, folder: Path, draws: int
) -> list[dict[str, float]]:
    """How many of the planted wrong labels are found, and how many others."""
    config = DataConfig(source="image_folder", root=root, image_size=task.image_size)
    whole, found = load_dataset(config, NO_CACHE), []
    store = open_store(str(folder / "store"), 4 * 10**9)
    truth = np.concatenate([whole.train.labels.numpy(), whole.val.labels.numpy()])
    for share in SHARES:
        rows = []
        for number in range(draws):
            wrong = changed(truth, share, len(whole.classes), number)
            mislabelled = relabelled(whole, wrong)
            start = time.perf_counter()
            judged = judge(task, config, mislabelled, real, store)
            doubts = {doubt.index for doubt in doubtful(judged, wrong)}
            planted = set(np.flatnonzero(wrong != truth).tolist())
            hits = len(doubts & planted)
            rows.append(
                {
                    "accuracy": float((judged.probabilities.argmax(1) == truth).mean()),
                    "doubtful": len(doubts),
                    "precision": hits / max(1, len(doubts)),
                    "recall": hits / len(planted),
                    "seconds": time.perf_counter() - start,
                }
            )
        mean = {key: round(float(np.mean([row[key] for row in rows])), 3) for key in rows[0]}
        line = {"images": len(truth), "share": share, **mean}
        print(f"{task.name}: wrong labels {line}", flush=True)
        found.append(line)
    return found


def changed(truth: NDArray[np.int64], share: float, classes: int, seed: int) -> NDArray[np.int64]:
    """Labels of which a share is another class's."""
    draw = np.random.default_rng(seed)
    labels = truth.copy()
    which = draw.permutation(len(labels))[: round(share * len(labels))]
    labels[which] = (labels[which] + draw.integers(1, classes, len(which))) % classes
    return labels


def judge(
    task: Task, config: DataConfig, mislabelled: Dataset, real: Path, store: ArrayStore | None
) -> Judged:
    """What heads say of the images of the folds that they were not trained on."""
    count = len(mislabelled.train) + len(mislabelled.val)
    probabilities = np.zeros((count, len(mislabelled.classes)), np.float32)
    for number in range(1, FOLDS + 1):
        fold = mislabelled.folded(f"{number}/{FOLDS}")
        trial = TrialConfig.model_validate(
            {
                "data": {**config.model_dump(), "fold": f"{number}/{FOLDS}"},
                "model": {
                    "weights": task.weights.replace("$REAL", str(real)),
                    "unfreeze_depth": 0,
                },
                "augment": {"policy": "none"},
                "optim": {"lr": 3e-3},
                "train": {"epochs": 8, "batch_size": 32},
            }
        )
        tuner = FineTuner(trial, resolve_device("auto"), store, dataset=fold)
        while not tuner.finished:
            tuner.train_epoch()
        assert fold.pool is not None
        at = torch.as_tensor(fold.pool.places["val"]).numpy()
        probabilities[at] = tuner.evaluate("val").probabilities
    return Judged(np.arange(count), probabilities, "all")


def relabelled(whole: Dataset, labels: NDArray[np.int64]) -> Dataset:
    """A dataset whose training and validation images have other labels."""
    given = torch.from_numpy(labels)
    train, val = given[: len(whole.train)], given[len(whole.train) :]
    return replace(
        whole,
        train=replace(whole.train, labels=train),
        val=replace(whole.val, labels=val),
        fingerprint=whole.fingerprint,
    )


if __name__ == "__main__":
    main()
