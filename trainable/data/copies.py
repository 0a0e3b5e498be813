"""The duplicates of a dataset, told to people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainable.data.datasets import Dataset
from trainable.data.parts import SPLITS, SplitName


@dataclass(frozen=True)
class Copy:
    """An image that has duplicates.

    Attributes:
        split: The split that it is in.
        name: Its class folder and file, or its number in the split where it has no file; of several
            labels the folder that it lies in.
        label: The name of its class; of several labels as a table has them, and empty of none.
    """

    split: SplitName
    name: str
    label: str


@dataclass(frozen=True)
class CopyGroup:
    """Images that are duplicates of each other."""

    copies: tuple[Copy, ...]

    @property
    def labels(self) -> list[str]:
        """Their classes."""
        return sorted({copy.label for copy in self.copies})

    @property
    def splits(self) -> list[SplitName]:
        """The splits that they are in."""
        present = {copy.split for copy in self.copies}
        return [name for name in SPLITS if name in present]


def copy_groups(dataset: Dataset) -> list[CopyGroup]:
    """The groups of duplicates of a dataset: first those that are wrong, then the largest."""
    groups = np.concatenate([dataset.split(name).groups for name in SPLITS])
    unique, counts = np.unique(groups, return_counts=True)
    several = unique[counts > 1]
    found: dict[int, list[Copy]] = {int(group): [] for group in several}
    for name in SPLITS:
        split = dataset.split(name)
        for index in np.flatnonzero(np.isin(split.groups, several)):
            found[int(split.groups[index])].append(_copy(dataset, name, int(index)))
    return sorted(
        (CopyGroup(tuple(copies)) for copies in found.values()),
        key=lambda group: (-len(group.splits), -len(group.labels), -len(group.copies)),
    )


def describe_copies(groups: list[CopyGroup]) -> str:
    """What was found of duplicates, in one line; empty where there are none."""
    if not groups:
        return ""
    images = sum(len(group.copies) for group in groups)
    told = [f"{_count(len(groups), 'group')} of exact or near duplicates, {images} images"]
    unlike = sum(len(group.labels) > 1 for group in groups)
    if unlike:
        told.append(f"{_count(unlike, 'group')} of different labels")
    crossing = [group for group in groups if len(group.splits) > 1]
    if crossing:
        seen = sum(copy.split == "test" for group in crossing for copy in group.copies)
        told.append(f"{_count(len(crossing), 'group')} in more than one split")
        if seen:
            told.append(
                f"{_count(seen, 'test image')} with a duplicate among the training or validation "
                "images"
            )
    return "; ".join(told)


def _copy(dataset: Dataset, name: SplitName, index: int) -> Copy:
    split = dataset.split(name)
    if len(split.targets):
        label = "|".join(dataset.classes[each] for each in np.flatnonzero(split.targets[index]))
    else:
        label = dataset.classes[int(split.labels[index])]
    if not split.files:
        return Copy(name, f"{name} image {index}", label)
    file = split.files[index]
    folder = file.parent.name if len(split.targets) else label
    return Copy(name, f"{folder}/{file.name}", label)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
