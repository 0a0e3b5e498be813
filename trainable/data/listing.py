"""The image files that a source names, with their labels, before any is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainable.data.decoding.broken import Broken
from trainable.data.decoding.decoded import Decoded, open_files
from trainable.data.decoding.files import Files
from trainable.data.parts import Parts, SplitName
from trainable.data.stored import Indices
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
        targets: As :attr:`~trainable.data.parts.Parts.targets`.
    """

    files: dict[SplitName, list[Path]]
    labels: dict[SplitName, NDArray[np.int64]]
    classes: tuple[str, ...]
    skipped: int = 0
    notes: tuple[str, ...] = ()
    groups: dict[SplitName, Sequence[str]] = field(default_factory=dict)
    weights: dict[SplitName, NDArray[np.float64]] = field(default_factory=dict)
    targets: dict[SplitName, NDArray[np.uint8]] = field(default_factory=dict)

    def decoded(
        self, image_size: int, store: ArrayStore | None = None, *, skip: bool = False
    ) -> Parts:
        """The same with every image decoded.

        Args:
            image_size: Side that the network sees, in pixels; it decides the stored side R.
            store: Where the images are decoded to; None decodes them into memory.
            skip: Whether files that cannot be read as images are left out.

        Raises:
            ValueError: Files cannot be read as images: all of them, or all of a class.
        """
        files = open_files(self.files, store)
        broken = Broken(files)
        if not broken:
            return self._decoded(files, image_size)
        if not skip:
            raise broken.error
        broken.check_classes(self.labels, self.classes)
        rest = self._at(broken.rest, broken.note)
        return rest._decoded({n: files[n].at(rows) for n, rows in broken.rest.items()}, image_size)

    def _decoded(self, files: dict[SplitName, Files], image_size: int) -> Parts:
        decoded = Decoded(files, image_size)
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
            targets=self.targets,
            memo=decoded.memo,
        )

    def _at(self, rows: dict[SplitName, Indices], note: str) -> Listing:
        """Some of its files, and why they are not all."""
        groups: dict[SplitName, Sequence[str]] = {
            name: [each[row] for row in rows[name]] for name, each in self.groups.items()
        }
        weights = {n: each[rows[n]] if len(each) else each for n, each in self.weights.items()}
        return replace(
            self,
            files={name: [each[row] for row in rows[name]] for name, each in self.files.items()},
            labels={name: each[rows[name]] for name, each in self.labels.items()},
            groups=groups,
            weights=weights,
            skipped=self.skipped
            + sum(map(len, self.files.values()))
            - sum(map(len, rows.values())),
            notes=(*self.notes, note),
        )
