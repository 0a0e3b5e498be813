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
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import resample
from torch import Tensor
from torchvision.datasets import CIFAR10

from trainable.config import DataConfig
from trainable.data.image_folder import SplitName, read_image_folder

SPLIT_SEED = 0
"""Seed of every split, so that all trials of all searches see the same one."""


@dataclass(frozen=True)
class Split:
    """Images of one purpose.

    Attributes:
        images: uint8 of shape (N, 3, R, R), RGB.
        labels: int64 of shape (N,), indices into the dataset's classes.
    """

    images: Tensor
    labels: Tensor

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


@dataclass
class _Parts:
    """Raw arrays by split name, as a source gives them; missing splits are carved."""

    images: dict[SplitName, NDArray[np.uint8]]
    labels: dict[SplitName, NDArray[np.int64]]
    classes: tuple[str, ...]
    skipped: int = 0

    def keep(self, name: SplitName, indices: NDArray[np.int64], source: SplitName) -> None:
        images, labels = self.images[source], self.labels[source]
        self.images[name], self.labels[name] = images[indices], labels[indices]

    def carve(self, name: SplitName, share: float) -> None:
        """Move a stratified `share` of the training split into a split of its own."""
        if name in self.images:
            return
        rest, held_out = _stratified(self.labels["train"], share)
        self.keep(name, held_out, "train")
        self.keep("train", rest, "train")

    def limit(self, count: int) -> None:
        """Keep a stratified `count` images of the training split."""
        if count < len(self.labels["train"]):
            labels = self.labels["train"]
            kept = resample(
                np.arange(len(labels)),
                replace=False,
                n_samples=count,
                stratify=labels,
                random_state=SPLIT_SEED,
            )
            self.keep("train", np.sort(kept), "train")


@lru_cache(maxsize=1)
def load_dataset(config: DataConfig) -> Dataset:
    """Load, split and fingerprint what `config` names.

    The last dataset is kept, since the trials of a search all ask for the same one.

    Raises:
        ValueError: The data is missing, unreadable, or too small to split.
    """
    parts = {"digits": _digits, "cifar10": _cifar10, "image_folder": _image_folder}[config.source](
        config
    )
    parts.carve("test", config.test_fraction)
    if config.limit is not None:
        parts.limit(config.limit)
    parts.carve("val", config.val_fraction)
    splits = {
        name: Split(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(y))
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
    if config.source != "cifar10":
        return True
    return (_cifar10_root(config) / CIFAR10.base_folder).is_dir()


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


def _fingerprint(parts: _Parts) -> str:
    digest = hashlib.sha256(repr(parts.classes).encode())
    for name in sorted(parts.images):
        digest.update(f"{name} {parts.images[name].shape}".encode())
        digest.update(np.ascontiguousarray(parts.images[name]).data)
        digest.update(np.ascontiguousarray(parts.labels[name]).data)
    return digest.hexdigest()


def _digits(_: DataConfig) -> _Parts:
    """The 1,797 8x8 digits of the UCI test set (Alpaydin & Kaynak 1998)."""
    bunch = load_digits()
    grey = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return _Parts(
        images={"train": np.repeat(grey[..., None], 3, axis=3)},
        labels={"train": bunch.target.astype(np.int64)},
        classes=tuple(str(name) for name in bunch.target_names),
    )


def _cifar10(config: DataConfig) -> _Parts:
    """CIFAR-10 (Krizhevsky 2009), downloaded where it is not there yet."""
    root = _cifar10_root(config)
    try:
        train, test = (CIFAR10(root, train=part, download=True) for part in (True, False))
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"CIFAR-10 is not in {root} and could not be downloaded ({error}): put "
            "cifar-10-python.tar.gz there, or set data.root"
        ) from error
    return _Parts(
        images={"train": train.data, "test": test.data},
        labels={"train": np.array(train.targets), "test": np.array(test.targets)},
        classes=tuple(train.classes),
    )


def _cifar10_root(config: DataConfig) -> Path:
    return config.root or Path(torch.hub.get_dir()).parent / "datasets"


def _image_folder(config: DataConfig) -> _Parts:
    """A folder of class folders, or of `train`, `val`, `test` folders of those."""
    assert config.root is not None
    folder = read_image_folder(config.root, config.image_size)
    return _Parts(folder.images, folder.labels, folder.classes, folder.skipped)
