"""The image files that a source names, with their labels, before any is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainable.data.decoded import Decoded
from trainable.data.parts import Parts, SplitName
from trainable.store.arrays import ArrayStore


@dataclass(frozen=True)
class Listing:
    """Image files and labels by split. There is always `train`.

    Attributes:
        files: In the order of storage, which is the same everywhere.
        labels: int64 of shape (N,) for each split, indices into `classes`.
        classes: Names of the classes.
        skipped: The number of files that are left out.
        notes: Which are left out and why, in a line each.
        groups: As :attr:`~trainable.data.parts.Parts.groups`; empty where each stands for itself.
        weights: As :attr:`~trainable.data.parts.Parts.weights`.
    """

    files: dict[SplitName, list[Path]]
    labels: dict[SplitName, NDArray[np.int64]]
    classes: tuple[str, ...]
    skipped: int = 0
    notes: tuple[str, ...] = ()
    groups: dict[SplitName, Sequence[str]] = field(default_factory=dict)
    weights: dict[SplitName, NDArray[np.float64]] = field(default_factory=dict)

    def decoded(self, image_size: int, store: ArrayStore | None = None) -> Parts:
        """The same with every image decoded.

        Args:
            image_size: Side that the network sees, in pixels; it decides the stored side R.
            store: Where the images are decoded to; None decodes them into memory.

        Raises:
            ValueError: A file cannot be read as the image that its name says it is.
        """
        decoded = Decoded(self.files, image_size, store)
        return Parts(
            images=decoded.images,
            labels=self.labels,
            classes=self.classes,
            skipped=self.skipped,
            files=self.files,
            hashes=decoded.hashes,
            looks=decoded.looks,
            notes=(*self.notes, *decoded.notes),
            groups=self.groups,
            weights=self.weights,
            memo=decoded.memo,
        )
