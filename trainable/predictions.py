"""What predictions are worth: accuracy, per class, confusion, calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor
from torch.nn import functional as F

_RESAMPLES: Final = 1_000
_DRAWN: Final = 2_000_000
"""The images that are drawn in all, about: of very many, a tenth of the resamples will do."""
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

    def interval_of(
        self, compute: Callable[[Predictions], float], confidence: float = 0.95
    ) -> tuple[float, float]:
        """The values of a measure that so many images leave possible.

        The percentile bootstrap over images (Efron and Tibshirani 1993), always of the same draws:
        for what has no interval of its own, as an accuracy has.

        Args:
            compute: The measure of predictions.
            confidence: The share of such intervals that hold the value on all possible images.

        Returns:
            Both ends.
        """
        count, generator = len(self.labels), torch.Generator().manual_seed(0)
        values = []
        for _ in range(max(_RESAMPLES // 10, min(_RESAMPLES, _DRAWN // count))):
            drawn = torch.randint(count, (count,), generator=generator)
            values.append(compute(Predictions(self.logits[drawn], self.labels[drawn])))
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

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
            "calibration_error": self.calibration_error(),
            "classes": list(names),
            **({"confusion": self.confusion().tolist()} if few else {}),
            "per_class": self.per_class(names),
        }
