"""Rule 1 of the split: by the place of an image in its source.

One file more and every image may be in another split. It is kept for searches that were started
under it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

from trainable.config import DataConfig
from trainable.data.parts import Parts, SplitName

_SEED: Final = 0
"""The seed of every split, so that all trials of all searches see the same one."""

Indices = NDArray[np.int64]


def split_at_random(parts: Parts, config: DataConfig) -> dict[SplitName, Indices]:
    """Indices of the training images, limited, and of the splits that are carved from them.

    Raises:
        ValueError: There are too few images of a class.
    """
    labels = parts.labels["train"]
    rest, carved = np.arange(len(labels)), dict[SplitName, Indices]()
    if "test" not in parts.images:
        rest, carved["test"] = _held_out(rest, labels, config.test_fraction)
    if config.limit is not None and config.limit < len(rest):
        rest = rest[_some(labels[rest], config.limit)]
    if "val" not in parts.images:
        rest, carved["val"] = _held_out(rest, labels, config.val_fraction)
    return {**carved, "train": rest}


def _some(labels: NDArray[np.int64], count: int) -> Indices:
    """Of so many labels, a stratified `count`."""
    everything = np.arange(len(labels))
    chosen: Indices = resample(
        everything, replace=False, n_samples=count, stratify=labels, random_state=_SEED
    )
    return np.sort(chosen)


def _held_out(pool: Indices, labels: NDArray[np.int64], share: float) -> tuple[Indices, Indices]:
    """Indices without and with the `share` held out, each class split alike."""
    try:
        first, second = train_test_split(
            pool, test_size=share, stratify=labels[pool], random_state=_SEED
        )
    except ValueError as error:
        raise ValueError(
            f"{len(pool)} training images cannot be split with every class on both sides "
            f"(data.limit, data.val_fraction, data.test_fraction): {error}"
        ) from error
    return first, second
