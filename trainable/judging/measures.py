"""Measures that count every class alike, or mistakes by their cost: of all images, or of a draw.

A bootstrap takes a measure thousands of times. So what is the same for every draw (the answers, the
order of the images by each class's probability) is worked out once, and a draw costs a few passes
over its images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.judging.ranks import ClassRanks, mean_of, ranks_of

TOP: Final = 5
"""The answers of which one must be right for `val_top5_acc`."""


class Outcomes:
    """What a model made of some images, ready to be measured again and again.

    Args:
        logits: Floats of shape (N, classes).
        labels: int64 of shape (N,).
    """

    def __init__(self, logits: Tensor, labels: Tensor) -> None:
        self._logits, self.labels = logits, labels.numpy()
        self.classes = logits.shape[1]
        self._cells = self.labels * self.classes + logits.argmax(1).numpy()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def all(self) -> Draw:
        """Every image once."""
        return self.at(np.arange(len(self)))

    def at(self, drawn: NDArray[np.int64]) -> Draw:
        """Some of the images, by their indices, of which one may come several times."""
        return Draw(self, drawn)

    def confusion(self, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts of drawn images, of shape (classes, classes): truth by row, answer by column."""
        counts = np.bincount(self._cells[drawn], minlength=self.classes**2)
        return counts.reshape(self.classes, self.classes)

    @cached_property
    def in_top(self) -> NDArray[np.bool_]:
        """Whether the class of each image is among the :data:`TOP` first answers."""
        first = self._logits.topk(min(TOP, self.classes), dim=1).indices
        return (first == torch.from_numpy(self.labels)[:, None]).any(1).numpy()

    @cached_property
    def ranks(self) -> list[ClassRanks]:
        """The images in the order of each class's probability."""
        truth = self.labels[:, None] == np.arange(self.classes)
        return ranks_of(log_odds(self._logits.double()).numpy(), truth)


@dataclass(frozen=True, eq=False)
class Draw:
    """Some of the images, each as often as it was drawn.

    Attributes:
        outcomes: What was made of all of them.
        drawn: Indices, of shape (n,).
    """

    outcomes: Outcomes
    drawn: NDArray[np.int64]

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        return self.outcomes.confusion(self.drawn)

    @cached_property
    def _often(self) -> NDArray[np.float64]:
        counts = np.bincount(self.drawn, minlength=len(self.outcomes))
        return counts.astype(np.float64)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self._counts.trace() / len(self.drawn))

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recalls of the classes that have images here."""
        images = self._counts.sum(1)
        there = images > 0
        return float((self._counts.diagonal()[there] / images[there]).mean())

    @property
    def macro_f1(self) -> float:
        """Mean of the F1 of the classes that have images here; 0 of one that is never answered."""
        images, answers = self._counts.sum(1), self._counts.sum(0)
        there = images > 0
        right = self._counts.diagonal()[there]
        return float((2 * right / (images[there] + answers[there])).mean())

    @property
    def top_accuracy(self) -> float:
        """Share of the images whose class is among the :data:`TOP` first answers."""
        return float(self.outcomes.in_top[self.drawn].mean())

    @property
    def auroc(self) -> float:
        """Mean of the areas under the classes' ROC curves, each against the rest.

        Of the classes that have images here; not a number where there is only one.
        """
        return mean_of([each.area(self._often) for each in self.outcomes.ranks])

    @property
    def mean_average_precision(self) -> float:
        """Mean of the classes' average precisions, each against the rest."""
        return mean_of([each.average_precision(self._often) for each in self.outcomes.ranks])

    @property
    def micro_f1(self) -> float:
        """Of one label an image, the accuracy."""
        return self.accuracy

    def mean_cost(self, costs: Sequence[Sequence[float]]) -> float:
        """Mean cost of an answer.

        Args:
            costs: Of shape (classes, classes), true class by row and answer by column.
        """
        return float((self._counts * np.asarray(costs)).sum() / len(self.drawn))


def log_odds(logits: Tensor) -> Tensor:
    """The logarithms of each class's odds: in their order, and not ties where all but certain."""
    logs = logits.log_softmax(1)
    odds = logs - torch.log1p(-logs.exp())
    first, answers = logits.max(1, keepdim=True)
    others = logits.scatter(1, answers, -torch.inf).logsumexp(1, keepdim=True)
    return odds.scatter(1, answers, first - others)
