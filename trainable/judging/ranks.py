"""Images in the order of a class's probability: areas under ROC curves, and average precisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ClassRanks:
    """All images in the order of the probability of a class.

    Attributes:
        order: All images from the lowest probability on, of shape (N,).
        own: Those of the class, of shape (n,).
        below: For each of these, how many of all have a lower probability.
        up_to: The same with those of an equal one.
    """

    order: NDArray[np.int64]
    own: NDArray[np.int64]
    below: NDArray[np.int64]
    up_to: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> ClassRanks:
        """Those by scores of shape (N,), of which a mask says which images are of the class."""
        order, own = np.argsort(scores), np.flatnonzero(truth)
        rising = scores[order]
        below, up_to = (np.searchsorted(rising, scores[own], side) for side in ("left", "right"))
        return cls(order, own, below, up_to)

    def area(self, often: NDArray[np.float64]) -> float:
        """The area under the ROC curve; not a number where all images are of the class, or none.

        The share of the pairs of an image of the class and one of another in which the first has
        the higher probability, ties counting half (Hanley & McNeil 1982).

        Args:
            often: How often each image counts, of shape (N,).
        """
        total, weights = often.sum(), often[self.own]
        inside = weights.sum()
        if inside in (0, total):
            return float("nan")
        before = np.concatenate([[0.0], np.cumsum(often[self.order])])
        pairs = weights @ (before[self.below] + before[self.up_to]) / 2
        # Of pairs within the class, half are counted.
        return float((pairs - inside**2 / 2) / (inside * (total - inside)))

    def average_precision(self, often: NDArray[np.float64]) -> float:
        """The mean of the precisions at each image of the class; not a number where there is none.

        As scikit-learn's: the precision among all images of at least that probability.

        Args:
            often: How often each image counts, of shape (N,).
        """
        weights = often[self.own]
        inside = weights.sum()
        if not inside:
            return float("nan")
        own = np.zeros_like(often)
        own[self.own] = weights
        everyone, of_class = (
            rows.sum() - np.concatenate([[0.0], np.cumsum(rows[self.order])])[self.below]
            for rows in (often, own)
        )
        counted = weights > 0
        precisions = of_class[counted] / everyone[counted]
        return float(weights[counted] @ precisions / inside)


def ranks_of(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> list[ClassRanks]:
    """The ranks of each class that has images.

    Args:
        scores: What orders as probabilities do, of shape (N, classes).
        truth: Which images are of which class, of the same shape.
    """
    there = np.flatnonzero(truth.any(0))
    return [ClassRanks.of(scores[:, label], truth[:, label]) for label in there]


def mean_of(values: Sequence[float]) -> float:
    """The mean of those that are numbers; not a number where none is."""
    found = [value for value in values if not np.isnan(value)]
    return float(np.mean(found)) if found else float("nan")
