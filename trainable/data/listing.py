"""The image files that a source names, with their labels, before any is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.decoding import image_size_of, read_both
from trainable.data.hashing import hash_file
from trainable.data.looks import Looks
from trainable.data.parts import Parts, SplitName
from trainable.data.sizes import stored_side


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

    def decoded(self, image_size: int) -> Parts:
        """The same with every image decoded.

        Args:
            image_size: Side that the network sees, in pixels; it decides the stored side R.

        Raises:
            ValueError: A file cannot be read as the image that its name says it is.
        """
        side = _stored_side([path for paths in self.files.values() for path in paths], image_size)
        decoded = {name: _decode(paths, side) for name, paths in self.files.items()}
        return Parts(
            images={name: images for name, (images, *_) in decoded.items()},
            labels=self.labels,
            classes=self.classes,
            skipped=self.skipped,
            files=self.files,
            hashes={name: hashes for name, (_, hashes, _) in decoded.items()},
            looks={name: looks for name, (*_, looks) in decoded.items()},
            notes=self.notes,
            groups=self.groups,
            weights=self.weights,
        )


def _stored_side(paths: Sequence[Path], image_size: int) -> int:
    """The side at which images are stored, in pixels.

    Their own where all are alike, square and small; else 8/7 of what the network
    sees (256 for 224), which leaves room for crops.
    """
    sizes = {image_size_of(path) for path in paths}
    width, height = next(iter(sizes))
    if len(sizes) == 1 and width == height <= image_size:
        return width
    return stored_side(image_size)


def _decode(
    paths: Sequence[Path], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], Looks]:
    """Decode files: short side resized, centre cropped.

    Returns:
        uint8 of shape (N, side, side, 3), the hashes of the files, uint64 of shape (N,), and how
        the images look.
    """
    out, hashes = np.empty((len(paths), side, side, 3), np.uint8), np.empty(len(paths), np.uint64)
    looks = Looks.empty(len(paths))

    def decode(index: int) -> None:
        out[index], small = read_both(paths[index], side)
        hashes[index] = hash_file(paths[index])
        if small is not None:
            looks.put(index, small[None])

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(decode, range(len(paths))):
            pass
    return out, hashes, looks
