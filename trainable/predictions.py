"""What predictions are worth: accuracy, per class, confusion, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor
from torch.nn import functional as F

from trainable.measures import TOP, Outcomes

MOST_CLASSES: Final = 100
"""Classes up to which a matrix of them can be read, cell by cell."""


def mean_answer(first: Tensor, second: Tensor) -> Tensor:
    """Logits whose probabilities are the mean of those of two."""
    return torch.logaddexp(first.log_softmax(1), second.log_softmax(1)) - math.log(2)


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's outputs on a split, with the truth.

    Attributes:
        logits: Floats of shape (N, classes), on the CPU.
        labels: int64 of shape (N,), on the CPU.
    """

    logits: Tensor
    labels: Tensor

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats, without label smoothing."""
        return F.cross_entropy(self.logits, self.labels).item()

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return (self.logits.argmax(1) == self.labels).float().mean().item()

    def accuracy_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The accuracies that so many images leave possible: the score interval of Wilson (1927).

        Unlike the normal approximation, it keeps its confidence with few images, and near 0 and 1.

        Args:
            confidence: The share of such intervals that hold the accuracy on all possible images.

        Returns:
            Both ends, 0 to 1.
        """
        right, images = int(self.right.sum()), len(self.labels)
        found = binomtest(right, images).proportion_ci(confidence, method="wilson")
        return float(found.low), float(found.high)

    @cached_property
    def outcomes(self) -> Outcomes:
        """The same, ready to be measured again and again."""
        return Outcomes(self.logits, self.labels)

    @property
    def balanced_accuracy(self) -> float:
        """See :attr:`~trainable.measures.Draw.balanced_accuracy`."""
        return self.outcomes.all.balanced_accuracy

    @property
    def macro_f1(self) -> float:
        """See :attr:`~trainable.measures.Draw.macro_f1`."""
        return self.outcomes.all.macro_f1

    @property
    def auroc(self) -> float:
        """See :attr:`~trainable.measures.Draw.auroc`."""
        return self.outcomes.all.auroc

    @property
    def top_accuracy(self) -> float:
        """See :attr:`~trainable.measures.Draw.top_accuracy`."""
        return self.outcomes.all.top_accuracy

    def mean_cost(self, costs: Sequence[Sequence[float]]) -> float:
        """See :meth:`~trainable.measures.Draw.mean_cost`."""
        return self.outcomes.all.mean_cost(costs)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the answer is right, for each image: shape (N,)."""
        return (self.logits.argmax(1) == self.labels).numpy()

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Softmax of the logits: shape (N, classes)."""
        return self.logits.softmax(1).float().numpy()

    def at(self, chosen: NDArray[np.bool_]) -> Predictions:
        """Those on some images, of which a mask of shape (N,) says which."""
        where = torch.from_numpy(chosen)
        return Predictions(self.logits[where], self.labels[where])

    def drawn(self, indices: Tensor) -> Predictions:
        """Those on some images, by their indices, of which one may come several times."""
        return Predictions(self.logits[indices], self.labels[indices])

    def save(self, path: Path) -> None:
        """Write them as a compressed `.npz` file."""
        np.savez_compressed(path, logits=self.logits.numpy(), labels=self.labels.numpy())

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what :meth:`save` wrote; only arrays are read."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(torch.from_numpy(arrays["logits"]), torch.from_numpy(arrays["labels"]))

    def confusion(self) -> NDArray[np.int64]:
        """Counts of shape (classes, classes), truth by row and answer by column."""
        classes = self.logits.shape[1]
        return confusion_matrix(self.labels, self.logits.argmax(1), labels=range(classes))

    def per_class(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and number of images of each class, by name."""
        columns = precision_recall_fscore_support(
            self.labels, self.logits.argmax(1), labels=range(len(names)), zero_division=0.0
        )
        keys = ("precision", "recall", "f1", "support")
        return {
            name: dict(zip(keys, map(float, row), strict=True))
            for name, row in zip(names, np.transpose(columns), strict=True)
        }

    def calibration_error(self, bins: int = 15) -> float:
        """Expected calibration error, 0 to 1, over bins of equal width (Guo et al. 2017)."""
        confidence, answer = torch.from_numpy(self.probabilities).max(1)
        right = (answer == self.labels).float()
        which = (confidence * bins).ceil().long().clamp(1, bins) - 1
        gap = torch.zeros(bins).index_add_(0, which, right - confidence)
        return (gap.abs().sum() / len(right)).item()

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """All of the above but the logits, as JSON can hold it.

        There is no confusion matrix of more than :data:`MOST_CLASSES` classes: it would have a
        million cells of a thousand.
        """
        few = len(names) <= MOST_CLASSES
        return {
            "images": len(self.labels),
            "loss": self.loss,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            **self._of_probabilities(len(names)),
            "calibration_error": self.calibration_error(),
            "classes": list(names),
            **({"confusion": self.confusion().tolist()} if few else {}),
            "per_class": self.per_class(names),
        }

    def _of_probabilities(self, classes: int) -> dict[str, float]:
        """Measures that are not defined, or say nothing, for every number of classes."""
        area = self.auroc
        top = {f"top{TOP}_accuracy": self.top_accuracy} if classes > TOP else {}
        return {**({} if math.isnan(area) else {"auroc": area}), **top}
