"""Rule 1 of the split: by the place of an image in its source.

One file more and every image may be in another split. It is kept for searches that were started
under it.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

from trainable.config import DataConfig
from trainable.data.parts import Parts, SplitName

_SEED: Final = 0
"""The seed of every split, so that all trials of all searches see the same one."""

_TEST: Final = "data.test_fraction"
_VAL: Final = "data.val_fraction"

Indices = NDArray[np.int64]


def split_at_random(parts: Parts, config: DataConfig) -> dict[SplitName, Indices]:
    """Indices of the training images, limited, and of the splits that are carved from them.

    Raises:
        ValueError: There are too few images of a class.
    """
    if any(map(any, parts.groups.values())):
        raise ValueError(
            "data.split_rule=1 splits by the place of an image alone, and the data has groups that "
            "must stay together: leave data.split_rule out"
        )
    labels = parts.labels["train"]
    rest, carved = np.arange(len(labels)), dict[SplitName, Indices]()
    if "test" not in parts.images:
        rest, carved["test"] = _held_out(rest, labels, config.test_fraction, _TEST)
    if config.limit is not None and config.limit < len(rest):
        rest = rest[_some(labels[rest], config.limit)]
    if "val" not in parts.images:
        rest, carved["val"] = _held_out(rest, labels, config.val_fraction, _VAL)
    return {**carved, "train": rest}


def missing_classes(parts: Parts, indices: dict[SplitName, Indices]) -> tuple[str, ...]:
    """A line for each split that lacks a class, which this rule lets happen."""
    labels, notes = parts.labels["train"], []
    for name, found in indices.items():
        lacking = np.setdiff1d(labels, labels[found])
        if len(lacking):
            names = ", ".join(parts.classes[label] for label in lacking[:3])
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            notes.append(
                f"{name} split: no image of {names}{more}, which is not judged there; "
                "without data.split_rule=1 each split has one"
            )
    return tuple(notes)


def _some(labels: NDArray[np.int64], count: int) -> Indices:
    """Of so many labels, a stratified `count`."""
    everything = np.arange(len(labels))
    chosen: Indices = resample(
        everything, replace=False, n_samples=count, stratify=labels, random_state=_SEED
    )
    return np.sort(chosen)


def _held_out(
    pool: Indices, labels: NDArray[np.int64], share: float, key: str
) -> tuple[Indices, Indices]:
    """Indices without and with the `share` held out, each class split alike.

    Args:
        pool: Indices of the images that are split.
        labels: The labels of all images.
        share: The share.
        key: The config's key of that.
    """
    if (why := _why_not(labels[pool], share, key)) is not None:
        raise ValueError(f"{len(pool)} training images cannot be split with every class {why}")
    first, second = train_test_split(
        pool, test_size=share, stratify=labels[pool], random_state=_SEED
    )
    return first, second


def _why_not(labels: NDArray[np.int64], share: float, key: str) -> str | None:
    """Why images cannot be split by class, with a value of the key that works if there is one."""
    _, counts = np.unique(labels, return_counts=True)
    count, classes = len(labels), len(counts)
    where = f"on both sides (data.limit, {key}={share:g})"
    held = ceil(share * count)
    if counts.min() < 2:
        return f"{where}: a class has a single one, and needs 2; add images, or raise data.limit"
    if classes <= held <= count - classes:
        return None
    least, most = ceil(100 * classes / count) / 100, floor(100 * (count - classes) / count) / 100
    nearest = least if held < classes else max(least, min(most, 0.5))  # which leaves for others
    told = f"{where}: there are {classes} classes, {held} images on one side and {count - held} on"
    fix = f"give {key}={nearest:g}"
    return f"{told} the other; {fix if least <= most else 'add images, or raise data.limit'}"
