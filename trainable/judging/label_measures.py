"""Measures where an image may have any number of labels: of all images, or of a draw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainable.judging.ranks import ClassRanks, mean_of, ranks_of


class LabelOutcomes:
    """What a model made of some images, ready to be measured again and again.

    Args:
        logits: Floats of shape (N, classes); above 0 the answer is that an image has the label.
        truth: Which labels each image has, bool of shape (N, classes).
    """

    def __init__(self, logits: Tensor, truth: Tensor) -> None:
        self._logits, self.truth = logits, truth.numpy()
        self.answers = (logits > 0).numpy()

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def all(self) -> LabelDraw:
        """Every image once."""
        return self.at(np.arange(len(self)))

    def at(self, drawn: NDArray[np.int64]) -> LabelDraw:
        """Some of the images, by their indices, of which one may come several times."""
        return LabelDraw(self, np.bincount(drawn, minlength=len(self)).astype(np.float64))

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Of which images all labels are right, of shape (N,)."""
        return (self.answers == self.truth).all(1)

    @cached_property
    def ranks(self) -> list[ClassRanks]:
        """The images in the order of each label's probability."""
        return ranks_of(self._logits.double().numpy(), self.truth)


@dataclass(frozen=True, eq=False)
class LabelDraw:
    """Some of the images, each as often as it was drawn.

    Attributes:
        outcomes: What was made of all of them.
        often: How often each was drawn, of shape (N,).
    """

    outcomes: LabelOutcomes
    often: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Share of the images all of whose labels are right."""
        return float(self.often @ self.outcomes.right / self.often.sum())

    @cached_property
    def _counts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """For each label the images that rightly have it, and those that have it plus answered."""
        truth, answers = self.outcomes.truth, self.outcomes.answers
        return self.often @ (truth & answers), self.often @ truth + self.often @ answers

    @property
    def macro_f1(self) -> float:
        """Mean of the F1 of the labels that images here have; 0 of one that is never answered."""
        right, named = self._counts
        there = self.often @ self.outcomes.truth > 0
        return mean_of((2 * right[there] / named[there]).tolist())

    @property
    def micro_f1(self) -> float:
        """F1 of all labels of all images together; 0 where none is answered."""
        right, named = self._counts
        return float(2 * right.sum() / named.sum()) if named.sum() else 0.0

    @property
    def auroc(self) -> float:
        """Mean of the areas under the labels' ROC curves, of those that some images here have."""
        return mean_of([each.area(self.often) for each in self.outcomes.ranks])

    @property
    def mean_average_precision(self) -> float:
        """Mean of the labels' average precisions, of those that images here have."""
        return mean_of([each.average_precision(self.often) for each in self.outcomes.ranks])

    @property
    def average_precisions(self) -> dict[int, float]:
        """The average precision of each label that images here have, by its number."""
        there = np.flatnonzero(self.outcomes.truth.any(0)).tolist()
        values = [each.average_precision(self.often) for each in self.outcomes.ranks]
        found = zip(there, values, strict=True)
        return {label: value for label, value in found if not np.isnan(value)}
