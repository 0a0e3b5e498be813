"""The images that a champion and its challenger may be compared on: those that neither has seen."""

from __future__ import annotations

from typing import Final

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from trainable.data.datasets import Dataset
from trainable.data.seen import Seen
from tune.models.lineage import UnknownDataError, same_dataset_of
from tune.models.lookup import UNREADABLE, seen_by_registered
from tune.tracking.client import raise_passing

LEAST_IMAGES: Final = 30
"""Test images that must be left where some are left out. Of fewer, not even the least result that
can be significant, 6 images won and none lost (p = 0.03), would be a difference below 20 points."""


class IncomparableError(Exception):
    """A champion that cannot be compared with the challenger."""


def unseen_images(
    client: MlflowClient, champion: ModelVersion, dataset: Dataset, *, judged_on_them: bool
) -> NDArray[np.bool_]:
    """The test images of a challenger that neither it nor the champion has seen.

    An image is seen if it, or a duplicate of it, was a training or validation image of the model's
    search. Of a champion that does not carry their hashes, its images are read again if they are
    still there.

    Args:
        client: For the record and the registry.
        champion: The version that is the champion.
        dataset: The challenger's.
        judged_on_them: Whether the champion's own search held the same test images out.

    Returns:
        A mask of shape (N,).

    Raises:
        IncomparableError: There are too few, or it cannot be known which they are.
    """
    unseen = Seen.of(dataset).unseen_groups(dataset)
    seen = _seen_by(client, champion, dataset)
    if seen is not None:
        unseen &= seen.unseen(dataset)
    elif not judged_on_them:
        raise IncomparableError(
            "was tested on other images, and which ones it was trained on is not known"
        )
    left, count = int(unseen.sum()), len(unseen)
    if left < min(LEAST_IMAGES, count):
        raise IncomparableError(
            f"or the challenger has seen {count - left} of the {count} test images, or duplicates "
            f"of them, and the {left} that remain are too few (fewer than {LEAST_IMAGES})"
        )
    return unseen


def _seen_by(client: MlflowClient, champion: ModelVersion, dataset: Dataset) -> Seen | None:
    """What a version and its search have seen, as its files say, or else its images themselves."""
    try:
        seen = seen_by_registered(client, champion)
    except (MlflowException, *UNREADABLE) as error:
        raise_passing(error)
        seen = None
    if seen is None:
        try:
            seen = Seen.of(same_dataset_of(client, champion))
        except UnknownDataError:
            return None
    return seen if seen.is_comparable(dataset) else None
