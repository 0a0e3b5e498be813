"""What was taken for what, of as many classes as there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainable.judging.predictions import MOST_CLASSES, Predictions
from tune.reporting.labels import WIDTH, labels_of

_BLOCKS: Final = 50
"""Rows of a matrix of more classes than can be told apart."""
NUMBERED: Final = 20
"""Classes up to which the numbers of images stand in the matrix."""
PAIRS: Final = 20
"""The number of pairs of classes that are shown."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """A confusion matrix that can be read.

    Attributes:
        counts: Test images, true class by row and predicted class by column; shape (N, N).
        labels: The names of its rows, which are those of its columns.
    """

    counts: NDArray[np.int64]
    labels: list[str]


def block_size(classes: int) -> int:
    """How many of so many classes stand in a row of their matrix."""
    return 1 if classes <= MOST_CLASSES else math.ceil(classes / _BLOCKS)


def confusion_of(names: Sequence[str], test: Predictions) -> Confusion:
    """The matrix of the classes, with those that follow each other together if they are many."""
    counts, count, together = test.confusion(), len(names), block_size(len(names))
    if together == 1:
        return Confusion(counts, labels_of(names))
    starts = range(0, count, together)
    summed = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    shown = labels_of(names, WIDTH // 2)
    ends = [min(start + together, count) - 1 for start in starts]
    labels = [f"{shown[a]} – {shown[b]}" for a, b in zip(starts, ends, strict=True)]
    return Confusion(summed, labels)


@dataclass(frozen=True)
class Pair:
    """Two classes of which one is taken for the other.

    Attributes:
        truth: The index of the one.
        answer: The index of the other.
        images: How many test images.
        share: Their share of the class's test images, 0 to 1.
    """

    truth: int
    answer: int
    images: int
    share: float

    def named(self, labels: Sequence[str]) -> str:
        """The pair in words."""
        return f"{labels[self.truth]} taken for {labels[self.answer]}"


def most_confused(test: Predictions, count: int = PAIRS) -> list[Pair]:
    """The pairs of classes that were confused in the most images, the first of them first."""
    counts = test.confusion()
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [
        Pair(
            truth, answer, int(counts[truth, answer]), float(counts[truth, answer] / totals[truth])
        )
        for truth, answer in pairs
        if counts[truth, answer]
    ]
