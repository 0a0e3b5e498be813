"""The image files that a source names, with their labels, before any is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainable.data.decoding.broken import Broken
from trainable.data.decoding.decoded import Decoded, open_files
from trainable.data.decoding.files import Files
from trainable.data.parts import Parts, SplitName
from trainable.data.stored import Indices
from trainable.store.arrays import ArrayStore

_T = TypeVar("_T")
_Number = TypeVar("_Number", bound=np.generic)


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

    def __post_init__(self) -> None:
        """Check that all that is said of the files of a split is said of each of them.

        Raises:
            ValueError: It is not, and images would have the labels of others.
        """
        for what in ("labels", "groups", "weights", "targets"):
            for name, said in getattr(self, what).items():
                if len(said) != len(self.files[name]):
                    raise ValueError(
                        f"a data source gives {len(self.files[name])} files in {name} and "
                        f"{len(said)} {what}: give one for each file"
                    )

    def at(self, rows: Mapping[SplitName, Indices]) -> Listing:
        """The same with some of its files.

        Args:
            rows: Which, by split; a split that is not named stays whole.
        """

        def taken(said: Mapping[SplitName, NDArray[_Number]]) -> dict[SplitName, NDArray[_Number]]:
            return {n: each[rows[n]] if n in rows else each for n, each in said.items()}

        def listed(said: Mapping[SplitName, Sequence[_T]]) -> dict[SplitName, list[_T]]:
            return {
                n: [each[row] for row in rows[n]] if n in rows else [*each]
                for n, each in said.items()
            }

        return replace(
            self,
            files=listed(self.files),
            labels=taken(self.labels),
            groups=dict(listed(self.groups)),
            weights=taken(self.weights),
            targets=taken(self.targets),
        )

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
        broken.check_classes(self.labels, self.targets, self.classes)
        rest = replace(
            self.at(broken.rest),
            skipped=self.skipped + len(broken),
            notes=(*self.notes, broken.note),
        )
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
