"""Which images a model has seen: what it, or its search, was trained and validated on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from trainable.data.decoding.image_file import read_both
from trainable.data.hashing import hash_file, hash_pixels
from trainable.data.looks import MOST_BITS, Looks

if TYPE_CHECKING:  # a served model imports this file too, and has no data
    from trainable.data.datasets import Dataset

_FILES, _PIXELS, _LOOKS = "files", "pixels", "looks"
"""Names of the arrays: hashes of files or of pixels, and perceptual hashes."""
_AT_ONCE: Final = 64
"""Images that are compared with all that were seen, at once."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The images that a model has seen, by their hashes.

    Attributes:
        of_files: Whether `hashes` are those of files, and not of pixels.
        hashes: The images' and their groups', uint64 of shape (N,), sorted.
        looks: Their perceptual hashes, uint64 of shape (M,), sorted.
    """

    of_files: bool
    hashes: NDArray[np.uint64]
    looks: NDArray[np.uint64]

    @classmethod
    def of(cls, dataset: Dataset) -> Seen:
        """What whoever trains and validates on a dataset sees."""
        splits = (dataset.train, dataset.val)
        hashes = [array for split in splits for array in (split.hashes, split.groups)]
        looks = np.unique(np.concatenate([split.looks for split in splits]))
        return cls(_is_of_files(dataset), np.unique(np.concatenate(hashes)), looks[looks > 0])

    @classmethod
    def load(cls, path: Path) -> Seen:
        """Read what :meth:`save` wrote.

        Raises:
            OSError, SafetensorError, ValueError: It is no such file.
        """
        arrays = load_file(path)
        hashes = arrays.get(_FILES, arrays.get(_PIXELS))
        looks = arrays.get(_LOOKS)
        if hashes is None or looks is None or {hashes.dtype, looks.dtype} != {np.dtype(np.uint64)}:
            raise ValueError(f"{path} holds no hashes of images")
        return cls(_FILES in arrays, hashes, looks)

    def save(self, path: Path) -> None:
        """Write the hashes into a file."""
        save_file({_FILES if self.of_files else _PIXELS: self.hashes, _LOOKS: self.looks}, path)

    def has_seen(self, file: Path, side: int) -> bool:
        """Whether an image file, or a copy of it, was seen.

        Args:
            file: The image.
            side: The side at which the images that were seen are stored, in pixels.

        Raises:
            ImageError, OSError: The file cannot be read as an image.
        """
        square, small = read_both(file, side)
        known = hash_file(file) if self.of_files else hash_pixels(square[None])[0]
        if np.isin(known, self.hashes):
            return True
        looks = Looks.empty(1)
        if small is not None:
            looks.put(0, small[None])
        look = looks.hashes[0]
        return bool(look > 0 and (np.bitwise_count(look ^ self.looks) <= MOST_BITS).any())

    def is_comparable(self, dataset: Dataset) -> bool:
        """Whether it can be known which of a dataset's images were seen."""
        return self.of_files == _is_of_files(dataset)

    def unseen(self, dataset: Dataset) -> NDArray[np.bool_]:
        """The test images of a dataset of which neither they nor a copy was seen, of shape (N,)."""
        fresh = self.unseen_groups(dataset)
        looks = dataset.test.looks
        for start in range(0, len(looks), _AT_ONCE):
            some = looks[start : start + _AT_ONCE]
            near = np.bitwise_count(some[:, None] ^ self.looks[None]) <= MOST_BITS
            fresh[start : start + _AT_ONCE] &= ~(near.any(axis=1) & (some > 0))
        return fresh

    def unseen_groups(self, dataset: Dataset) -> NDArray[np.bool_]:
        """The same by what stays together in the dataset alone: duplicates, and `data.group`."""
        splits = (dataset.train, dataset.val, dataset.test)
        hashes = np.concatenate([split.hashes for split in splits])
        groups = np.concatenate([split.groups for split in splits])
        together = np.concatenate([split.together for split in splits])
        touched = np.isin(hashes, self.hashes) | np.isin(groups, self.hashes)
        seen = np.isin(dataset.test.groups, groups[touched])
        if len(dataset.test.together):
            seen |= np.isin(dataset.test.together, together[touched])
        return ~seen


def _is_of_files(dataset: Dataset) -> bool:
    return len(dataset.train.files) > 0
