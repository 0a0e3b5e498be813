"""Images and labels in memory, split once and for all.

Every source ends as the same thing: square uint8 images of one size, integer labels,
class names, and a fingerprint of all of it. The split depends on the data alone, never
on a trial's seed, so that all trials are judged on the same images.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import resample
from torch import Tensor

from trainable.config import DataConfig
from trainable.data.parts import Parts, SplitName
from trainable.registries import SOURCES

SPLIT_SEED = 0
"""Seed of every split, so that all trials of all searches see the same one."""


@dataclass(frozen=True)
class Split:
    """Images of one purpose.

    Attributes:
        images: uint8 of shape (N, 3, R, R), RGB.
        labels: int64 of shape (N,), indices into the dataset's classes.
        files: The file of each image, where they were read from files; else empty.
    """

    images: Tensor
    labels: Tensor
    files: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The three splits of a source, with the names of its classes.

    Attributes:
        fingerprint: SHA-256 (hex) of the pixels, labels, class names and split.
        skipped: Files of the image folder that are not of an image type.
    """

    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    fingerprint: str
    skipped: int = 0

    def split(self, name: SplitName) -> Split:
        """The split called `name`."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def test_fingerprint(self) -> str:
        """SHA-256 (hex) of the test images, their labels and the class names alone."""
        digest = hashlib.sha256(repr((self.classes, tuple(self.test.images.shape))).encode())
        digest.update(self.test.images.numpy().data)
        digest.update(self.test.labels.numpy().data)
        return digest.hexdigest()


@lru_cache(maxsize=1)
def load_dataset(config: DataConfig) -> Dataset:
    """Load, split and fingerprint what `config` names.

    The last dataset is cached, since the trials of a search all ask for the same one.

    Raises:
        ValueError: The data is missing, unreadable, or too small to split.
    """
    parts: Parts = SOURCES[config.source](config)
    parts.labels = {name: y.astype(np.int64, copy=False) for name, y in parts.labels.items()}
    _carve(parts, "test", config.test_fraction)
    if config.limit is not None:
        _limit(parts, config.limit)
    _carve(parts, "val", config.val_fraction)
    splits = {
        name: Split(
            torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(y),
            tuple(parts.files.get(name, ())),
        )
        for (name, images), y in zip(parts.images.items(), parts.labels.values(), strict=True)
    }
    return Dataset(
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        classes=parts.classes,
        fingerprint=_fingerprint(parts),
        skipped=parts.skipped,
    )


def is_local(config: DataConfig) -> bool:
    """Whether :func:`load_dataset` would download nothing."""
    asked = getattr(SOURCES[config.source], "is_local", None)
    return asked is None or asked(config)


def _carve(parts: Parts, name: SplitName, share: float) -> None:
    """Move a stratified `share` of the training split into a split of its own, if it is missing."""
    if name in parts.images:
        return
    rest, held_out = _stratified(parts.labels["train"], share)
    _take(parts, name, held_out)
    _take(parts, "train", rest)


def _limit(parts: Parts, count: int) -> None:
    """Reduce the training split to a stratified `count` of its images."""
    labels = parts.labels["train"]
    if count < len(labels):
        chosen = resample(
            np.arange(len(labels)),
            replace=False,
            n_samples=count,
            stratify=labels,
            random_state=SPLIT_SEED,
        )
        _take(parts, "train", np.sort(chosen))


def _take(parts: Parts, name: SplitName, indices: NDArray[np.int64]) -> None:
    """Make images of the training split the split called `name`."""
    parts.images[name] = parts.images["train"][indices]
    parts.labels[name] = parts.labels["train"][indices]
    if "train" in parts.files:
        parts.files[name] = [parts.files["train"][index] for index in indices]


def _stratified(
    labels: NDArray[np.int64], share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices without and with the `share` held out, each class split alike."""
    try:
        first, second = train_test_split(
            np.arange(len(labels)), test_size=share, stratify=labels, random_state=SPLIT_SEED
        )
    except ValueError as error:
        raise ValueError(
            f"{len(labels)} training images cannot be split with every class on both sides "
            f"(data.limit, data.val_fraction, data.test_fraction): {error}"
        ) from error
    return first, second


def _fingerprint(parts: Parts) -> str:
    digest = hashlib.sha256(repr(parts.classes).encode())
    for name in sorted(parts.images):
        digest.update(f"{name} {parts.images[name].shape}".encode())
        digest.update(np.ascontiguousarray(parts.images[name]).data)
        digest.update(np.ascontiguousarray(parts.labels[name]).data)
    return digest.hexdigest()
