"""Images of one purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.stored import Images, joined, some_of


def _none() -> NDArray[np.uint64]:
    return np.empty(0, np.uint64)


@dataclass(frozen=True)
class Split:
    """Images of one purpose.

    Attributes:
        images: uint8 of shape (N, 3, R, R), RGB; a tensor, or what stands for one.
        labels: int64 of shape (N,), indices into the dataset's classes.
        files: The file of each image, where they were read from files; else empty.
        hashes: What identifies each image, uint64 of shape (N,): the hash of its file, or of its
            pixels where it has none.
        groups: The smallest hash of the images that each is a duplicate of, uint64 of shape (N,):
            its own where there is no other.
        looks: Perceptual hashes, uint64 of shape (N,); 0 where an image is too small or too plain.
        together: A number for each image, uint64 of shape (N,), the same for all that must lie in
            one split: duplicates, and images of one group (`data.group`).
        weights: How much each image counts, float64 of shape (N,); empty where all count alike.
        targets: Which labels each image has, uint8 of shape (N, classes), where it may have any
            number of them, and `labels` names the rarest; empty where it has one.
    """

    images: Images
    labels: Tensor
    files: tuple[Path, ...] = ()
    hashes: NDArray[np.uint64] = field(default_factory=_none)
    groups: NDArray[np.uint64] = field(default_factory=_none)
    looks: NDArray[np.uint64] = field(default_factory=_none)
    together: NDArray[np.uint64] = field(default_factory=_none)
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    targets: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    @property
    def truth(self) -> Tensor | None:
        """Which labels each image has, bool of shape (N, classes); None where each has one."""
        return torch.from_numpy(self.targets).bool() if len(self.targets) else None

    def counts(self, classes: int) -> list[int]:
        """How many images each class has; one with several labels counts for each."""
        if len(self.targets):
            return [int(count) for count in self.targets.sum(0, dtype=np.int64)]
        return [int(count) for count in torch.bincount(self.labels, minlength=classes)]

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: NDArray[np.int64]) -> Split:
        """Some of its images."""
        where = torch.from_numpy(indices)
        return Split(
            some_of(self.images, indices),
            self.labels[where],
            tuple(self.files[index] for index in indices) if self.files else (),
            *(array[indices] if len(array) else array for array in self._arrays),
        )

    def with_those_of(self, other: Split) -> Split:
        """Its images, and then those of another."""
        pairs = zip(self._arrays, other._arrays, strict=True)
        return Split(
            joined(self.images, other.images),
            torch.cat([self.labels, other.labels]),
            (*self.files, *other.files),
            *(np.concatenate(pair) for pair in pairs),
        )

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.hashes, self.groups, self.looks, self.together, self.weights, self.targets
