"""How often the same test images have judged, by what each version says of its own."""

from __future__ import annotations

from typing import Final

import numpy as np
from mlflow import MlflowClient

from trainable.data.datasets import Dataset
from tune.models.champion import versions_of
from tune.tracking.tags import VersionTags

_KEPT: Final = 64
_SAME: Final = 0.5
"""The share of two sets of test images that both have, from which they count as the same."""


def sketch(dataset: Dataset) -> str:
    """The smallest hashes of the test images: enough to tell how many two sets have in common.

    A bottom-k sketch (Cohen and Kaplan 2007). Unlike a fingerprint it is almost the same once a few
    images have been added and, of image files, at whatever size they are loaded.
    """
    return " ".join(f"{value:016x}" for value in np.unique(dataset.test.hashes)[:_KEPT])


def overlap(one: str, other: str) -> float:
    """The share of the images of two sets that both have, 0 to 1, estimated from their sketches."""
    first, second = set(one.split()), set(other.split())
    smallest = sorted(first | second)[:_KEPT]
    return len(first & second & set(smallest)) / len(smallest) if smallest else 0.0


def times_judged(client: MlflowClient, name: str, version: int, own: str) -> int:
    """How many versions of a model have been judged by such test images, this one included.

    Args:
        client: For the registry.
        name: The model's name.
        version: This version.
        own: The sketch of its test images.
    """
    others = [
        VersionTags.of(each) for each in versions_of(client, name) if int(each.version) != version
    ]
    return 1 + sum(overlap(tags.test_images or "", own) >= _SAME for tags in others)
