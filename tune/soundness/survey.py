"""What is known of every image of a source before any is trained on.

Images are read one by one, on as many threads as PyTorch has, and only what describes them stays
in memory: about 800 bytes an image, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from trainable.config import DataConfig
from trainable.data.datasets import Dataset
from trainable.data.decoding import ImageError, image_size_of, read_small, read_square
from trainable.data.duplicates import group_images
from trainable.data.grouping import stay_together
from trainable.data.hashing import hash_file, hash_pixels
from trainable.data.listing import Listing
from trainable.data.looks import SIDE, Looks, shrink
from trainable.data.parts import SPLITS, Parts, SplitName
from trainable.data.sizes import stored_side
from trainable.data.split import Split
from trainable.registries import SOURCES
from tune.base.errors import ConfigError

_AT_ONCE: Final = 64
"""Images that a thread describes before it takes the next."""

Track: TypeAlias = Callable[[int, int], None]
"""Is told of so many more images that are done, of so many in all."""
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

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self) -> NDArray[np.int64]:
        """Images by class and split: int64 of shape (classes, 3)."""
        return count_images(self.labels, self.splits, len(self.classes))


def count_images(
    labels: NDArray[np.int64], splits: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Images by class and split: int64 of shape (classes, 3)."""
    counts = np.zeros((classes, len(SPLITS)), np.int64)
    np.add.at(counts, (labels, splits), 1)
    return counts


def survey(config: DataConfig, track: Track) -> Survey:
    """Read every image of a source once.

    Args:
        config: Names the source.
        track: Follows the images that are read.

    Raises:
        ConfigError: The source cannot be listed, or no image of it can be read.
    """
    try:
        found: Listing | Parts = SOURCES[config.source](config)
        if isinstance(found, Listing):
            return _of_files(found, config, track)
        return _of_arrays(found, track)
    except ValueError as error:
        raise ConfigError(str(error)) from error


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


@dataclass(eq=False)
class _Notes:
    """What is noted of each image while they are read."""

    sizes: NDArray[np.int64]
    contrast: NDArray[np.float32]
    hashes: NDArray[np.uint64]
    looks: Looks

    @classmethod
    def of(cls, count: int) -> _Notes:
        """Room for so many images."""
        sizes, contrast = np.zeros((count, 2), np.int64), np.zeros(count, np.float32)
        return cls(sizes, contrast, np.zeros(count, np.uint64), Looks.empty(count))

    def put(self, index: int, size: tuple[int, int], small: NDArray[np.uint8]) -> None:
        """Note an image: its size, and what it looks like in a square of 32 pixels."""
        self.sizes[index], self.contrast[index] = size, _contrast(small)
        if min(size) >= SIDE:
            self.looks.put(index, small[None])


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return shrink(Image.fromarray(pixels))


def _contrast(small: NDArray[np.uint8]) -> float:
    shades = small.astype(np.float32)
    return float((shades - shades.mean((0, 1))).std())


def _of_files(listing: Listing, config: DataConfig, track: Track) -> Survey:
    splits: list[SplitName] = [name for name in SPLITS if name in listing.files]
    files = [path for name in splits for path in listing.files[name]]
    notes, broken = _Notes.of(len(files)), dict[int, str]()

    def describe(start: int) -> int:
        stop = min(start + _AT_ONCE, len(files))
        for index in range(start, stop):
            try:
                notes.put(index, image_size_of(files[index]), read_small(files[index]))
                notes.hashes[index] = hash_file(files[index])
            except (ImageError, OSError) as error:
                broken[index] = str(error)
        return stop - start

    _in_threads(describe, len(files), track)
    good = np.array([index for index in range(len(files)) if index not in broken], np.int64)
    if not len(good):
        raise ConfigError(f"no image of {config.root} can be read; the first: {broken[0]}")
    kept, root = [files[index] for index in good], config.root
    sizes, looks = notes.sizes[good], Looks(notes.looks.hashes[good], notes.looks.thumbs[good])
    side = _side_of(sizes, config.image_size)
    where = np.concatenate(
        [np.full(len(listing.files[name]), SPLITS.index(name)) for name in splits]
    )
    labels = np.concatenate([listing.labels[name] for name in splits])
    groups = group_images(notes.hashes[good], looks)
    return Survey(
        classes=listing.classes,
        given=tuple(splits),
        names=tuple(_below(path, root) for path in kept),
        files=tuple(kept),
        splits=where[good],
        labels=labels[good].astype(np.int64),
        sizes=sizes,
        contrast=notes.contrast[good],
        hashes=notes.hashes[good],
        groups=groups,
        together=_together(groups, where[good], good, splits, listing),
        read=lambda index: read_square(kept[index], side),
        broken=tuple(Rejected(_below(files[i], root), broken[i]) for i in sorted(broken)),
        left_out=listing.skipped,
        notes=listing.notes,
    )


def _of_arrays(parts: Parts, track: Track) -> Survey:
    splits: list[SplitName] = [name for name in SPLITS if name in parts.images]
    images = [np.asarray(parts.images[name]) for name in splits]  # a source gives arrays
    ends = np.cumsum([0, *map(len, images)])
    count = int(ends[-1])

    def read(index: int) -> NDArray[np.uint8]:
        which = int(np.searchsorted(ends, index, "right")) - 1
        return np.asarray(images[which][index - int(ends[which])])

    notes = _Notes.of(count)

    def describe(start: int) -> int:
        stop = min(start + _AT_ONCE, count)
        for index in range(start, stop):
            pixels = read(index)
            notes.put(index, (pixels.shape[1], pixels.shape[0]), _shrunk(pixels))
            notes.hashes[index] = hash_pixels(pixels[None])[0]
        return stop - start

    _in_threads(describe, count, track)
    files = [path for name in splits for path in parts.files.get(name, ())]
    where = np.repeat([SPLITS.index(name) for name in splits], np.diff(ends))
    groups = group_images(notes.hashes, notes.looks)
    names = [
        f"{name} image {number}" for name in splits for number in range(len(parts.labels[name]))
    ]
    return Survey(
        classes=parts.classes,
        given=tuple(splits),
        names=tuple(map(str, files)) if files else tuple(names),
        files=tuple(files),
        splits=where,
        labels=np.concatenate([parts.labels[name] for name in splits]).astype(np.int64),
        sizes=notes.sizes,
        contrast=notes.contrast,
        hashes=notes.hashes,
        groups=groups,
        together=_together(groups, where, np.arange(count), splits, parts),
        read=read,
        left_out=parts.skipped,
        notes=parts.notes,
    )


def _together(
    groups: NDArray[np.uint64],
    where: NDArray[np.int64],
    kept: NDArray[np.int64],
    splits: list[SplitName],
    given: Listing | Parts,
) -> NDArray[np.uint64]:
    """What the images are held together by, of those that are kept of what a source gave."""
    alone = {split: [""] * len(given.labels[split]) for split in splits}
    every = [name for split in splits for name in given.groups.get(split, alone[split])]
    of_splits = {split: where == SPLITS.index(split) for split in splits}
    names = {split: [every[i] for i in kept[at]] for split, at in of_splits.items()}
    joined = stay_together(
        {split: groups[at] for split, at in of_splits.items()}, names if given.groups else {}
    )
    return np.concatenate([joined[split] for split in splits])


def _in_threads(describe: Callable[[int], int], count: int, track: Track) -> None:
    """Have images described, some at a time, by their first index."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for more in pool.map(describe, range(0, count, _AT_ONCE)):
            track(more, count)


def _side_of(sizes: NDArray[np.int64], image_size: int) -> int:
    """The side at which images are stored: their own where they are alike, square and small."""
    width, height = map(int, sizes[0])
    if width == height <= image_size and (sizes == sizes[0]).all():
        return width
    return stored_side(image_size)


def _below(path: Path, root: Path | None) -> str:
    """A path below the root, if it is there."""
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)
