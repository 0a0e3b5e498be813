"""Images and labels, split once and for all.

Every source ends as the same thing: square uint8 images of one size, integer labels,
class names, and a fingerprint of all of it. Images that come from files lie in the store, and are
read as they are asked for; those of other sources are in memory. The split depends on the data
alone, never on a trial's seed, so that all trials are judged on the same images.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.config import DataConfig
from trainable.data.chosen import Chosen, fingerprint_of
from trainable.data.decoding.files import open_images
from trainable.data.hashing import hash_pixels
from trainable.data.listing import Listing
from trainable.data.looks import Looks
from trainable.data.memo import numbers_of
from trainable.data.parts import SPLITS, Parts, Pool, SplitName
from trainable.data.split import Split
from trainable.data.splitting.content_split import ContentSplit
from trainable.data.splitting.duplicates import group_images
from trainable.data.splitting.folding import fold_of
from trainable.data.splitting.grouping import stay_together
from trainable.data.splitting.limiting import given_by
from trainable.data.splitting.random_split import missing_classes, split_at_random
from trainable.registries import SOURCES
from trainable.runtime import ImageCache

_CHUNK: Final = 256
"""Images that are hashed at once."""


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

    @property
    def has_several(self) -> bool:
        """Whether an image may have any number of labels."""
        return len(self.train.targets) > 0

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
        given = every.labels.numpy(), groups, len(self.val), self.classes, every.targets
        train, val = fold_of(name, *given)
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
        for images in self.test.images.split(_CHUNK):
            digest.update(images.contiguous().numpy().data)
        digest.update(self.test.labels.numpy().data)
        digest.update(np.ascontiguousarray(self.test.targets).data)
        return digest.hexdigest()


class _Datasets:
    """Loads datasets, and keeps the last one and its last fold.

    The trials of a search all ask for the same one, and those of a confirmation for its folds.
    """

    def __init__(self) -> None:
        self._whole: tuple[DataConfig, Dataset] | None = None
        self._fold: tuple[DataConfig, Dataset] | None = None

    def __call__(self, config: DataConfig, cache: ImageCache | None = None) -> Dataset:
        """Load, split and fingerprint what `config` names.

        Args:
            config: The data.
            cache: Where images are decoded to, if these are not the last that were loaded; by
                default the user's own cache.

        Raises:
            ValueError: The data is missing, unreadable, or too small to split.
        """
        if config.fold is None:
            return self._load(config, cache)
        if self._fold is None or self._fold[0] != config:
            self._fold = config, self._load(config.unfolded, cache).folded(config.fold)
        return self._fold[1]

    def cache_clear(self) -> None:
        """Forget them."""
        self._whole = self._fold = None

    def _load(self, config: DataConfig, cache: ImageCache | None) -> Dataset:
        if self._whole is None or self._whole[0] != config:
            self.cache_clear()  # before there are two
            self._whole = config, _load(config, cache or ImageCache())
        return self._whole[1]


load_dataset: Final = _Datasets()


def _load(config: DataConfig, cache: ImageCache) -> Dataset:
    given = given_by(config)
    if isinstance(given, Listing):
        skip = config.on_error == "skip"
        parts = given.decoded(config.image_size, open_images(cache), skip=skip)
    else:
        parts = given
    parts.labels = {name: y.astype(np.int64, copy=False) for name, y in parts.labels.items()}
    in_memory = {name: x for name, x in parts.images.items() if isinstance(x, np.ndarray)}
    parts.hashes = parts.hashes or {name: hash_pixels(x) for name, x in in_memory.items()}
    parts.looks = parts.looks or {name: Looks.of_pixels(x) for name, x in in_memory.items()}
    groups = _groups(parts)
    together = stay_together(groups, parts.groups)
    if config.split_rule == 1:
        indices = split_at_random(parts, config)
        notes = (*parts.notes, *missing_classes(parts, indices))
    else:
        rule = ContentSplit(parts, together["train"])
        indices, notes = rule.indices(config), (*parts.notes, *rule.notes)
    chosen = {name: Chosen(parts, groups, together, name, indices.get(name)) for name in SPLITS}
    splits = {name: each.split() for name, each in chosen.items()}
    return Dataset(
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        classes=parts.classes,
        fingerprint=fingerprint_of(parts, chosen),
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
    ends = np.cumsum([len(each) for each in hashes])

    def compute() -> NDArray[np.uint64]:
        looks = Looks.joined([parts.looks[name] for name in parts.images])
        return group_images(np.concatenate(hashes), looks)

    groups = numbers_of(parts.memo, "groups", int(ends[-1]), compute)
    return dict(zip(parts.images, np.split(groups, ends[:-1]), strict=True))
