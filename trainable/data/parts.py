"""What a data source gives: arrays by split, before anything is carved or limited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:  # a source is asked what it needs before NumPy is loaded
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from trainable.data.looks import Looks
    from trainable.data.memo import Memo
    from trainable.data.stored import Images, Stored

SplitName = Literal["train", "val", "test"]
SPLITS: Final[tuple[SplitName, ...]] = ("train", "val", "test")


@dataclass
class Parts:
    """Images and labels by split. There is always `train`; a split that is missing is carved.

    Attributes:
        images: uint8 of shape (N, R, R, 3), RGB, in memory or wherever they are stored; R is the
            same in every split.
        labels: int64 of shape (N,), indices into `classes`.
        classes: Names of the classes.
        skipped: The number of files that are not of an image type.
        files: The image files, in the order of `images`, where there are such files.
        hashes: What identifies each image, uint64 of shape (N,); by default its pixels' hash.
        looks: How each image looks, to find near duplicates; by default as its pixels do.
        notes: What was left out and why, in a line each.
        groups: For each image the name of what it is one of several images of (a patient, a
            camera); images of one stay in one split. Empty text where it stands for itself.
        weights: How much each image counts, float64 of shape (N,); empty where all count alike.
        targets: Which labels each image has, uint8 of shape (N, classes), where it may have any
            number of them; `labels` then names the rarest of them. Empty where it has one.
        memo: Where what is computed of all images is stored, if it is.
    """

    images: dict[SplitName, NDArray[np.uint8] | Stored]
    labels: dict[SplitName, NDArray[np.int64]]
    classes: tuple[str, ...]
    skipped: int = 0
    files: dict[SplitName, list[Path]] = field(default_factory=dict)
    hashes: dict[SplitName, NDArray[np.uint64]] = field(default_factory=dict)
    looks: dict[SplitName, Looks] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    groups: dict[SplitName, Sequence[str]] = field(default_factory=dict)
    weights: dict[SplitName, NDArray[np.float64]] = field(default_factory=dict)
    targets: dict[SplitName, NDArray[np.uint8]] = field(default_factory=dict)
    memo: Memo | None = None


@dataclass(frozen=True, eq=False)
class Pool:
    """Images of which each fold takes some: their views are drawn, and cached, for all folds once.

    Attributes:
        images: uint8 of shape (N, 3, R, R).
        fingerprint: Of the dataset that they come from.
        places: Which of them a split has, int64 of shape (n,), by its name.
    """

    images: Images
    fingerprint: str
    places: Mapping[SplitName, Tensor]
