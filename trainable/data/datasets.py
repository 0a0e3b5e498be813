"""Images and labels in memory, split once and for all.

Every source ends as the same thing: square uint8 images of one size, integer labels,
class names, and a fingerprint of all of it. The split depends on the data alone, never
on a trial's seed, so that all trials are judged on the same images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.config import DataConfig
from trainable.data.content_split import ContentSplit
from trainable.data.duplicates import group_images
from trainable.data.folding import fold_of
from trainable.data.grouping import stay_together
from trainable.data.hashing import hash_pixels
from trainable.data.listing import Listing
from trainable.data.looks import Looks
from trainable.data.parts import SPLITS, Parts, Pool, SplitName
from trainable.data.random_split import missing_classes, split_at_random
from trainable.registries import SOURCES

_CHUNK: Final = 256
"""Images that are copied at once, for a peak of memory that is hardly above two copies of all."""


def _none() -> NDArray[np.uint64]:
    return np.empty(0, np.uint64)


@dataclass(frozen=True)
class Split:
    """Images of one purpose.

    Attributes:
        images: uint8 of shape (N, 3, R, R), RGB.
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
    """

    images: Tensor
    labels: Tensor
    files: tuple[Path, ...] = ()
    hashes: NDArray[np.uint64] = field(default_factory=_none)
    groups: NDArray[np.uint64] = field(default_factory=_none)
    looks: NDArray[np.uint64] = field(default_factory=_none)
    together: NDArray[np.uint64] = field(default_factory=_none)
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: NDArray[np.int64]) -> Split:
        """Some of its images."""
        where = torch.from_numpy(indices)
        return Split(
            self.images[where],
            self.labels[where],
            tuple(self.files[index] for index in indices) if self.files else (),
            *(array[indices] if len(array) else array for array in self._arrays),
        )

    def with_those_of(self, other: Split) -> Split:
        """Its images, and then those of another."""
        pairs = zip(self._arrays, other._arrays, strict=True)
        return Split(
            torch.cat([self.images, other.images]),
            torch.cat([self.labels, other.labels]),
            (*self.files, *other.files),
            *(np.concatenate(pair) for pair in pairs),
        )

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.hashes, self.groups, self.looks, self.together, self.weights


@dataclass(frozen=True)
class Dataset:
    """The three splits of a source, with the names of its classes.

    Attributes:
        fingerprint: SHA-256 (hex) of the pixels, labels, class names and split.
        skipped: Files of the image folder that are not of an image type.
        notes: What was done otherwise than the config says, in words.
        pool: What its training and validation images are taken of, where these are a fold.
    """

    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    fingerprint: str
    skipped: int = 0
    notes: tuple[str, ...] = ()
    pool: Pool | None = None

    def split(self, name: SplitName) -> Split:
        """The split called `name`."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def folded(self, name: str) -> Dataset:
        """The same with the training and validation images of a fold.

        Args:
            name: As `data.fold` has it.

        Raises:
            ValueError: There are too few images for so many folds.
        """
        every = self.train.with_those_of(self.val)
        groups = every.together if len(every.together) else every.groups
        groups = groups if len(groups) else np.arange(len(every), dtype=np.uint64)
        train, val = fold_of(name, every.labels.numpy(), groups, len(self.val), self.classes)
        digest = hashlib.sha256(f"{self.fingerprint} {name}".encode())
        for indices in (train, val):
            digest.update(indices.astype("<i8").tobytes())
        places: dict[SplitName, Tensor] = {
            "train": torch.from_numpy(train),
            "val": torch.from_numpy(val),
        }
        return replace(
            self,
            train=every.at(train),
            val=every.at(val),
            fingerprint=digest.hexdigest(),
            pool=Pool(every.images, self.fingerprint, places),
        )

    def test_fingerprint(self) -> str:
        """SHA-256 (hex) of the test images, their labels and the class names alone."""
        digest = hashlib.sha256(repr((self.classes, tuple(self.test.images.shape))).encode())
        digest.update(self.test.images.numpy().data)
        digest.update(self.test.labels.numpy().data)
        return digest.hexdigest()


class _Datasets:
    """Loads datasets, and keeps the last one and its last fold.

    The trials of a search all ask for the same one, and those of a confirmation for its folds.
    """

    def __init__(self) -> None:
        self._whole: tuple[DataConfig, Dataset] | None = None
        self._fold: tuple[DataConfig, Dataset] | None = None

    def __call__(self, config: DataConfig) -> Dataset:
        """Load, split and fingerprint what `config` names.

        Raises:
            ValueError: The data is missing, unreadable, or too small to split.
        """
        if config.fold is None:
            return self._load(config)
        if self._fold is None or self._fold[0] != config:
            self._fold = config, self._load(config.unfolded).folded(config.fold)
        return self._fold[1]

    def cache_clear(self) -> None:
        """Forget them."""
        self._whole = self._fold = None

    def _load(self, config: DataConfig) -> Dataset:
        if self._whole is None or self._whole[0] != config:
            self.cache_clear()  # before there are two
            self._whole = config, _load(config)
        return self._whole[1]


load_dataset: Final = _Datasets()


def _load(config: DataConfig) -> Dataset:
    given: Parts | Listing = SOURCES[config.source](config)
    parts = given.decoded(config.image_size) if isinstance(given, Listing) else given
    parts.labels = {name: y.astype(np.int64, copy=False) for name, y in parts.labels.items()}
    parts.hashes = parts.hashes or {name: hash_pixels(x) for name, x in parts.images.items()}
    parts.looks = parts.looks or {n: Looks.of_pixels(x) for n, x in parts.images.items()}
    groups = _groups(parts)
    together = stay_together(groups, parts.groups)
    if config.split_rule == 1:
        indices = split_at_random(parts, config)
        notes = (*parts.notes, *missing_classes(parts, indices))
    else:
        rule = ContentSplit(parts, together["train"])
        indices, notes = rule.indices(config), (*parts.notes, *rule.notes)
    chosen = {name: _Chosen(parts, groups, together, name, indices.get(name)) for name in SPLITS}
    splits = {name: each.split() for name, each in chosen.items()}
    return Dataset(
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        classes=parts.classes,
        fingerprint=_fingerprint(parts.classes, chosen),
        skipped=parts.skipped,
        notes=notes,
    )


def is_local(config: DataConfig) -> bool:
    """Whether :func:`load_dataset` would download nothing."""
    asked = getattr(SOURCES[config.source], "is_local", None)
    return asked is None or asked(config)


def _groups(parts: Parts) -> dict[SplitName, NDArray[np.uint64]]:
    """The groups of all images, whichever split they are in."""
    hashes = [parts.hashes[name] for name in parts.images]
    looks = Looks.joined([parts.looks[name] for name in parts.images])
    groups = group_images(np.concatenate(hashes), looks)
    ends = np.cumsum([len(each) for each in hashes])
    return dict(zip(parts.images, np.split(groups, ends[:-1]), strict=True))


class _Chosen:
    """The images of a split, as they lie in what the source gave.

    Args:
        parts: What the source gave.
        groups: The duplicates among its images.
        together: Which of its images stay together.
        name: The split's name.
        indices: Its images; all those of the source's split of this name where None.
    """

    def __init__(
        self,
        parts: Parts,
        groups: dict[SplitName, NDArray[np.uint64]],
        together: dict[SplitName, NDArray[np.uint64]],
        name: SplitName,
        indices: NDArray[np.int64] | None,
    ) -> None:
        of: SplitName = name if name in parts.images else "train"
        self.indices = np.arange(len(parts.labels[of])) if indices is None else indices
        self.images, self.labels = parts.images[of], parts.labels[of][self.indices]
        self._files = parts.files.get(of)
        self._hashes, self._groups = parts.hashes[of][self.indices], groups[of][self.indices]
        self._looks, self._together = (
            parts.looks[of].hashes[self.indices],
            together[of][self.indices],
        )
        self.weights = parts.weights[of][self.indices] if parts.weights else np.empty(0)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its images, (N, R, R, 3)."""
        return (len(self.indices), *self.images.shape[1:])

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """Its images, some at a time."""
        for start in range(0, len(self.indices), _CHUNK):
            yield self.images[self.indices[start : start + _CHUNK]]

    def split(self) -> Split:
        """The same in the order of PyTorch's dimensions."""
        count, height, width, channels = self.shape
        images, done = torch.empty((count, channels, height, width), dtype=torch.uint8), 0
        for chunk in self.chunks():
            images[done : (done := done + len(chunk))] = torch.from_numpy(chunk).permute(0, 3, 1, 2)
        files = () if self._files is None else tuple(self._files[index] for index in self.indices)
        return Split(
            images,
            torch.from_numpy(self.labels),
            files,
            self._hashes,
            self._groups,
            self._looks,
            self._together,
            self.weights,
        )


def _fingerprint(classes: tuple[str, ...], chosen: dict[SplitName, _Chosen]) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for name in sorted(chosen):
        digest.update(f"{name} {chosen[name].shape}".encode())
        for chunk in chosen[name].chunks():
            digest.update(np.ascontiguousarray(chunk).data)
        digest.update(np.ascontiguousarray(chosen[name].labels).data)
        digest.update(np.ascontiguousarray(chosen[name].weights).data)
    return digest.hexdigest()
