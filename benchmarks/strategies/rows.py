"""Recorded trials as rows of numbers, and configs as features."""

from __future__ import annotations

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tasks import LENGTHS, SPACE

Array = NDArray[np.float64]
Record = Mapping[str, Any]

FULL: Final = max(LENGTHS)
FOLDED: Final = "folds"
"""The folder, among the curves, of what is not trained on the training split."""
COLUMNS: Final = ("val_acc", "val_loss", "test_acc")
"""Of each epoch: accuracies as logits, losses as logarithms."""
_EDGE: Final = 0.002
"""Accuracies are taken to be at least so far from 0 and 1, whose logits are infinite."""


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a task, from its file of lines, compressed or not."""
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in text.splitlines()]


def file_of(folder: Path, task: str) -> Path:
    """Where the records of a task are: packed, or as they were recorded."""
    packed = folder / f"{task}.jsonl.gz"
    return packed if packed.exists() else folder / f"{task}.jsonl"


def features(params: Mapping[str, Any], *, engineered: bool = True) -> list[float]:
    """A config's values as numbers: logarithms of what is searched so, a bit for each name.

    Args:
        params: The values.
        engineered: Whether there are also the learning rate of a step's image in units of its
            optimizer, and of its lowest trained stage, which decide whether anything is learned.
    """
    row: list[float] = []
    for key, values in SPACE.items():
        value = params[key]
        if isinstance(values, dict):
            row.append(math.log(value) if values.get("log") else float(value))
        elif isinstance(values[0], str):
            row.extend(float(value == name) for name in values)
        else:
            row.append(float(value))
    if engineered:
        usual = 1e-3 if params["optim.name"] == "adamw" else 3e-2
        rate = math.log(params["optim.lr"] / usual)
        lowest = params["model.unfreeze_depth"] * math.log(params["optim.layer_decay"])
        row += [
            rate,
            rate - math.log(params["train.batch_size"] / 64),
            rate + lowest,
            ("none", "flip", "flip_crop", "trivial", "rand").index(params["augment.policy"]),
        ]
    return row


def columns_of(length: int, name: str) -> NDArray[np.int64]:
    """The columns that have a metric of the epochs of a length."""
    start = len(COLUMNS) * sum(each for each in LENGTHS if each < length)
    start += length * COLUMNS.index(name)
    return np.arange(start, start + length)


def whole_runs(records: Sequence[Record]) -> list[list[Record]]:
    """The runs of each config that was recorded at every length, in the order of `LENGTHS`."""
    found = defaultdict[int, dict[int, Record]](dict)
    for record in records:
        if not record.get("again"):
            found[record["number"]][record["length"]] = record
    return [[of[n] for n in LENGTHS] for _, of in sorted(found.items()) if len(of) == len(LENGTHS)]


def again_runs(records: Sequence[Record]) -> dict[int, list[Record]]:
    """The runs of each config that was recorded again: not the one by which it was chosen."""
    found = defaultdict[int, list[Record]](list)
    for record in records:
        if record.get("again"):
            found[record["number"]].append(record)
    return dict(found)


def row_of(runs: Sequence[Record]) -> Array:
    """The curves of a config, of all lengths in one line."""
    return np.concatenate([curve_of(run) for run in runs])


def curve_of(run: Record) -> Array:
    """A run's curves, all columns in one line.

    One that diverged reports what it last had, or if it has nothing, nothing that is right: it is
    no winner either way.
    """
    epochs, test = list[Array](), 0.0
    for epoch in run["epochs"]:
        test = epoch.get("test_acc", test)
        loss = math.log(max(epoch["val_loss"], 1e-4))
        epochs.append(np.array([logit(epoch["val_acc"]), loss, logit(test)]))
    epochs = epochs or [np.array([logit(0.0), math.log(10.0), logit(0.0)])]
    epochs += [epochs[-1]] * (run["length"] - len(epochs))
    return np.array(epochs).T.ravel()


def levels_of(curves: Array) -> Array:
    """The logits of test accuracy at the end of the longest schedule."""
    return curves[:, columns_of(FULL, "test_acc")[-1]]


def images_of(records: Sequence[Record], name: str) -> int:
    """The number of images that an accuracy is a share of: it is recorded in five digits."""
    shares = np.unique([e[name] for r in records for e in r["epochs"] if name in e])
    for count in range(10, 10_000):
        if np.all(np.abs(shares * count - np.round(shares * count)) <= 1e-5 * count):
            return count
    raise ValueError(f"{name} is no share of fewer than 10,000 images in the records")


def prefix_of(params: Mapping[str, Any]) -> tuple[str, int]:
    """What the frozen layers' outputs depend on: the policy and the depth."""
    return params["augment.policy"], params["model.unfreeze_depth"]


def logit(share: float) -> float:
    """Of a share that is neither 0 nor 1; these are moved a little."""
    share = min(max(share, _EDGE), 1 - _EDGE)
    return math.log(share / (1 - share))


def share_of(logits: Array) -> Array:
    """The shares that logits are of."""
    return 1 / (1 + np.exp(-logits))


def logits_of(shares: Array) -> Array:
    """The logits of shares that are neither 0 nor 1."""
    return np.log(shares / (1 - shares))
