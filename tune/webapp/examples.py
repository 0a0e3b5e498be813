"""Pictures to show a model: uploads, and images of the test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from torch import Tensor

from trainable.data.datasets import load_dataset
from trainable.data.split import Split
from trainable.judging.predictions import Predictions
from tune.models.lineage import dataset_of
from tune.reporting.predictions import worst_mistakes

if TYPE_CHECKING:
    from tune.tracking.schema import Version
    from tune.tracking.server import Client

EXAMPLES: Final = 6
"""The number of images drawn at once."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that is shown.

    Attributes:
        name: The name of its file, or its number in the test split.
        image: uint8 of shape (3, R, R).
        truth: The name of its class, where it is known; of several labels as a table has them.
    """

    name: str
    image: Tensor
    truth: str | None = None


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The test split of a model.

    Attributes:
        split: The images and their labels.
        classes: The names of the classes.
    """

    split: Split
    classes: tuple[str, ...]

    def picture(self, number: int) -> Picture:
        """The image of a number, from 0."""
        if self.split.truth is None:
            truth = self.classes[int(self.split.labels[number])]
        else:
            has = self.split.truth[number].nonzero().flatten()
            truth = "|".join(self.classes[int(label)] for label in has)
        return Picture(f"Test image {number}", self.split.images[number], truth)


def held_out_of(client: Client, version: Version) -> HeldOut:
    """Read the test images of a version.

    Raises:
        ConfigError: They are no longer available, or not the same.
    """
    dataset = dataset_of(client, version)
    load_dataset.cache_clear()  # it would keep the training images
    return HeldOut(dataset.test, dataset.classes)


def draw(held_out: HeldOut, page: int) -> list[Picture]:
    """Some images at random, others for each `page`."""
    count = min(EXAMPLES, len(held_out.split))
    drawn = np.random.default_rng(page).choice(len(held_out.split), count, replace=False)
    return [held_out.picture(int(number)) for number in drawn]


def mistakes(held_out: HeldOut, test: Predictions) -> list[Picture]:
    """Images whose recorded prediction is wrong, the most confident first."""
    return [held_out.picture(int(number)) for number in worst_mistakes(test)]
