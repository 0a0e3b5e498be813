"""Folds of the training and validation images together; the test images are in none.

They are scikit-learn's StratifiedGroupKFold: each has its share of every class, and an image lies
in the fold of its duplicates. They depend on the images and how they were split, as trials do.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from trainable.base.folds import ALL, Fold

Indices = NDArray[np.int64]


def fold_of(
    name: str,
    labels: NDArray[np.int64],
    groups: NDArray[np.uint64],
    validated: int,
    classes: Sequence[str],
    targets: NDArray[np.uint8] | None = None,
) -> tuple[Indices, Indices]:
    """Indices of a fold's training images, and of its validation images.

    Args:
        name: The fold's, or `all`: then all are trained on, and the validation images stay.
        labels: Those of the training images and then of the validation images, of shape (N,).
        groups: A number for each, the same for duplicates.
        validated: How many validation images there are.
        classes: The names of the classes.
        targets: Which labels each has, of shape (N, classes), where it may have any number of them;
            empty or None where it has one.

    Raises:
        ValueError: There are too few images for so many folds.
    """
    if name == ALL:
        every = np.arange(len(labels))
        return every, every[len(labels) - validated :]
    fold = Fold.parse(name)
    has = targets if targets is not None and len(targets) else None
    for label in np.unique(labels):
        of_label = labels == label if has is None else has[:, label] > 0
        if len(np.unique(groups[of_label])) < 2:
            raise ValueError(
                f"data.fold={name}: class {classes[label]} has a single image (or group of "
                "data.group) to train and validate on that is no duplicate, and folds need 2; "
                "leave folds out (confirm.folds=0)"
            )
    if fold.folds > (there := len(np.unique(groups))):
        raise ValueError(
            f"data.fold={name}: {there} images (or groups) that are not alike are too "
            f"few for {fold.folds} folds; give {there} at most"
        )
    splitter = StratifiedGroupKFold(fold.folds, shuffle=True, random_state=fold.repeat)
    with warnings.catch_warnings():
        # A class of fewer images than folds is in some folds only, which is as good as it gets.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(splitter.split(np.zeros(len(labels)), labels, groups))
    train, val = parts[fold.number - 1]
    return train.astype(np.int64), val.astype(np.int64)
