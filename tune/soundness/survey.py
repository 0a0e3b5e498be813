"""What is known of every image of a source, or of a dataset that has been loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.datasets import Dataset
from trainable.data.looks import SIDE
from trainable.data.parts import SPLITS, SplitName
from trainable.data.split import Split

_AT_ONCE: Final = 64
"""Images whose pixels are looked at at once."""

NO_LABEL: Final = "no label"
"""What is shown of an image that has none of several labels."""

Read: TypeAlias = Callable[[int], NDArray[np.uint8]]
"""Reads an image at the side at which it is stored for training: uint8 of shape (R, R, 3)."""


@dataclass(frozen=True)
class Rejected:
    """A file that is not among the images, and why.

    Attributes:
        name: The file, below the root.
        reason: Why.
    """

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Survey:
    """The images of a source that can be read, N of them, and the files that cannot.

    Attributes:
        classes: The names of the classes.
        given: The splits that the source has; others are carved from its training images.
        names: The file of each image below the root, or its number in its split.
        files: The file of each image; empty where they are not in files.
        splits: The index of each image's split in `SPLITS`, int64 of shape (N,).
        labels: int64 of shape (N,), indices into `classes`.
        sizes: Width and height in pixels, int64 of shape (N, 2); None where all have been resized.
        contrast: The standard deviation of its shades about each channel's mean, of 255, once it
            is reduced to 32 pixels; float32 of shape (N,).
        hashes: What identifies each image, uint64 of shape (N,).
        groups: The smallest hash of the images that each is a duplicate of, uint64 of shape (N,).
        together: The same for all images that must lie in one split: duplicates, and images of one
            group (`data.group`); uint64 of shape (N,).
        read: Reads one by its index.
        broken: Image files that cannot be decoded.
        left_out: How many files are passed over.
        notes: Which, and why, in a line each.
        targets: Which labels each image has, uint8 of shape (N, classes), where it may have any
            number of them, and `labels` names the rarest; empty where it has one.
        weights: How much each image counts, float64 of shape (N,); empty where all count alike, and
            before a search.
        group_names: The name of the group of each image (`data.group`), empty text where it has
            none; empty where no image has one, and after a search.
        refused: Why a search would refuse the images because of the broken ones that it leaves out;
            empty text if it would not.
    """

    classes: tuple[str, ...]
    given: tuple[SplitName, ...]
    names: tuple[str, ...]
    files: tuple[Path, ...]
    splits: NDArray[np.int64]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64] | None
    contrast: NDArray[np.float32]
    hashes: NDArray[np.uint64]
    groups: NDArray[np.uint64]
    together: NDArray[np.uint64]
    read: Read
    broken: tuple[Rejected, ...] = ()
    left_out: int = 0
    notes: tuple[str, ...] = ()
    targets: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    group_names: tuple[str, ...] = ()
    refused: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self) -> NDArray[np.int64]:
        """Images by class and split: int64 of shape (classes, 3)."""
        return self.counts_of(np.arange(len(self)), self.splits)

    def counts_of(self, indices: NDArray[np.int64], splits: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same of some images, in these splits; one with several labels counts for each."""
        counts = np.zeros((len(self.classes), len(SPLITS)), np.int64)
        if self.has_several:
            np.add.at(counts.T, splits, self.targets[indices])
        else:
            np.add.at(counts, (self.labels[indices], splits), 1)
        return counts

    @property
    def has_several(self) -> bool:
        """Whether an image may have any number of labels."""
        return len(self.targets) > 0

    def label_of(self, index: int) -> str:
        """An image's label, as a table has it: of several `cat|dog`, and nothing of none."""
        if self.has_several:
            return self.joined(np.flatnonzero(self.targets[index]))
        return self.classes[int(self.labels[index])]

    def joined(self, labels: Iterable[int]) -> str:
        """The names of some labels, as a table has them."""
        return "|".join(self.classes[int(label)] for label in labels)


def survey_dataset(dataset: Dataset) -> Survey:
    """The same of a dataset that has been loaded, with the splits that a search has."""
    splits = [dataset.split(name) for name in SPLITS]
    ends = np.cumsum([0, *map(len, splits)])

    def read(index: int) -> NDArray[np.uint8]:
        which = int(np.searchsorted(ends, index, "right")) - 1
        pixels = splits[which].images[index - int(ends[which])]
        return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())

    return Survey(
        classes=dataset.classes,
        given=SPLITS,
        names=_names_of(dataset),
        files=tuple(file for split in splits for file in split.files),
        splits=np.repeat(np.arange(len(SPLITS)), np.diff(ends)),
        labels=np.concatenate([split.labels.numpy() for split in splits]),
        sizes=None,
        contrast=np.concatenate([_contrasts(split) for split in splits]),
        hashes=np.concatenate([split.hashes for split in splits]),
        groups=np.concatenate([split.groups for split in splits]),
        together=np.concatenate([split.together for split in splits]),
        read=read,
        left_out=dataset.skipped,
        notes=dataset.notes,
        targets=np.concatenate([split.targets for split in splits]),
        weights=np.concatenate([split.weights for split in splits]),
    )


def _contrasts(split: Split) -> NDArray[np.float32]:
    """The contrast of the images that may be too plain, by a part of their pixels."""
    contrasts = np.full(len(split), np.inf, np.float32)
    every = max(1, split.images.shape[-1] // SIDE)
    suspects = np.flatnonzero(split.looks == 0)  # too plain, or too small to look like anything
    for start in range(0, len(suspects), _AT_ONCE):
        some = suspects[start : start + _AT_ONCE]
        pixels = split.images[torch.from_numpy(some)][..., ::every, ::every].float().numpy()
        contrasts[some] = (pixels - pixels.mean((2, 3), keepdims=True)).std((1, 2, 3))
    return contrasts


def _names_of(dataset: Dataset) -> tuple[str, ...]:
    names: list[str] = []
    for name in SPLITS:
        split = dataset.split(name)
        if split.files:
            names += [f"{file.parent.name}/{file.name}" for file in split.files]
        else:
            names += [f"{name} image {number}" for number in range(len(split))]
    return tuple(names)
