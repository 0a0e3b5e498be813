"""What predictions are worth: accuracy, per class, confusion, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor
from torch.nn import functional as F

from trainable.judging.label_measures import LabelOutcomes
from trainable.judging.measures import TOP, Outcomes
from trainable.judging.probabilities import sureness_of

MOST_CLASSES: Final = 100
"""Classes up to which a matrix of them can be read, cell by cell."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's outputs on a split, with the truth.

    Attributes:
        logits: Floats of shape (N, classes), on the CPU.
        labels: int64 of shape (N,), on the CPU; of several labels, the rarest.
        truth: Which labels each image has, bool of shape (N, classes), where it may have any number
            of them; None where it has one.
    """

    logits: Tensor
    labels: Tensor
    truth: Tensor | None = None

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats, without label smoothing; of several labels, the mean."""
        if self.truth is not None:
            truth = self.truth.to(self.logits)
            return F.binary_cross_entropy_with_logits(self.logits, truth).item()
        return F.cross_entropy(self.logits, self.labels).item()

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1; of several labels, all must be right."""
        if self.truth is not None:
            return float(self.right.mean())
        return (self.logits.argmax(1) == self.labels).float().mean().item()

    def accuracy_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The accuracies that so many images leave possible: the score interval of Wilson (1927).

        Unlike the normal approximation, it keeps its confidence with few images, and near 0 and 1.

        Args:
            confidence: The share of such intervals that hold the accuracy on all possible images.

        Returns:
            Both ends, 0 to 1.
        """
        return share_interval(int(self.right.sum()), len(self.labels), confidence)

    @cached_property
    def outcomes(self) -> Outcomes | LabelOutcomes:
        """The same, ready to be measured again and again."""
        if self.truth is not None:
            return LabelOutcomes(self.logits, self.truth)
        return Outcomes(self.logits, self.labels)

    @property
    def balanced_accuracy(self) -> float:
        """See :attr:`~trainable.judging.measures.Draw.balanced_accuracy`."""
        return self._of_one.all.balanced_accuracy

    @property
    def macro_f1(self) -> float:
        """See :attr:`~trainable.judging.measures.Draw.macro_f1`."""
        return self.outcomes.all.macro_f1

    @property
    def auroc(self) -> float:
        """See :attr:`~trainable.judging.measures.Draw.auroc`."""
        return self.outcomes.all.auroc

    @property
    def top_accuracy(self) -> float:
        """See :attr:`~trainable.judging.measures.Draw.top_accuracy`."""
        return self._of_one.all.top_accuracy

    @property
    def mean_average_precision(self) -> float:
        """See :attr:`~trainable.judging.measures.Draw.mean_average_precision`."""
        return self.outcomes.all.mean_average_precision

    @property
    def micro_f1(self) -> float:
        """See :attr:`~trainable.judging.label_measures.LabelDraw.micro_f1`."""
        return self.outcomes.all.micro_f1

    def mean_cost(self, costs: Sequence[Sequence[float]]) -> float:
        """See :meth:`~trainable.judging.measures.Draw.mean_cost`."""
        return self._of_one.all.mean_cost(costs)

    @property
    def in_top(self) -> NDArray[np.bool_]:
        """See :attr:`~trainable.judging.measures.Outcomes.in_top`."""
        return self._of_one.in_top

    @property
    def _of_one(self) -> Outcomes:
        """The outcomes of images that have one label each."""
        assert isinstance(self.outcomes, Outcomes), "the measure is of one label an image"
        return self.outcomes

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the answer is right, for each image: shape (N,)."""
        if self.truth is not None:
            return ((self.logits > 0) == self.truth).all(1).numpy()
        return (self.logits.argmax(1) == self.labels).numpy()

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Softmax of the logits, or of several labels their sigmoid: shape (N, classes)."""
        if self.truth is not None:
            return self.logits.sigmoid().float().numpy()
        return self.logits.softmax(1).float().numpy()

    def at(self, chosen: NDArray[np.bool_]) -> Predictions:
        """Those on some images, of which a mask of shape (N,) says which."""
        return self.drawn(torch.from_numpy(chosen))

    @property
    def answers(self) -> Tensor:
        """Which labels each image is said to have, bool of shape (N, classes)."""
        if self.truth is not None:
            return self.logits > 0
        return F.one_hot(self.logits.argmax(1), self.logits.shape[1]).bool()

    @property
    def sureness(self) -> Tensor:
        """The probability of each answer, of shape (N,); of several labels, of the least sure."""
        return torch.from_numpy(sureness_of(self.probabilities, several=self.truth is not None))

    @property
    def confidence(self) -> Tensor:
        """The same in double precision."""
        if self.truth is not None:
            return self.logits.double().abs().sigmoid().amin(1)
        return self.logits.double().softmax(1).amax(1)

    @property
    def stated(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The probabilities that are stated, and whether what each is of was so.

        Of the answer to each image, shape (N,); of several labels, of each label of each image,
        shape (N * classes,).
        """
        if self.truth is not None:
            return self.probabilities.ravel(), self.truth.numpy().ravel()
        return self.probabilities.max(axis=1), self.right

    def drawn(self, indices: Tensor) -> Predictions:
        """Those on some images, by their indices, of which one may come several times."""
        truth = None if self.truth is None else self.truth[indices]
        return Predictions(self.logits[indices], self.labels[indices], truth)

    def save(self, path: Path | BinaryIO) -> None:
        """Write them as a compressed `.npz` file."""
        arrays: dict[str, Any] = {"logits": self.logits.numpy(), "labels": self.labels.numpy()}
        if self.truth is not None:
            arrays["truth"] = self.truth.numpy()
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path | BinaryIO) -> Predictions:
        """Read what :meth:`save` wrote; only arrays are read."""
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
            return cls(found["logits"], found["labels"], found.get("truth"))

    def confusion(self) -> NDArray[np.int64]:
        """Counts of shape (classes, classes), truth by row and answer by column."""
        classes = self.logits.shape[1]
        return confusion_matrix(self.labels, self.logits.argmax(1), labels=range(classes))

    def per_class(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and number of images of each class, by name.

        Of several labels also the average precision of each that an image here has.
        """
        truth, answers = self.labels, self.logits.argmax(1)
        if self.truth is not None:
            truth, answers = self.truth.int(), (self.logits > 0).int()
        columns = precision_recall_fscore_support(
            truth, answers, labels=range(len(names)), zero_division=0.0
        )
        keys = ("precision", "recall", "f1", "support")
        rows = {
            name: dict(zip(keys, map(float, row), strict=True))
            for name, row in zip(names, np.transpose(columns), strict=True)
        }
        if isinstance(self.outcomes, LabelOutcomes):
            for label, value in self.outcomes.all.average_precisions.items():
                rows[names[label]]["average_precision"] = value
        return rows

    def calibration_error(self, bins: int = 15) -> float:
        """Expected calibration error, 0 to 1, over bins of equal width (Guo et al. 2017).

        Of what is :attr:`stated`.
        """
        confidence, right = map(torch.from_numpy, self.stated)
        which = (confidence * bins).ceil().long().clamp(1, bins) - 1
        gap = torch.zeros(bins).index_add_(0, which, right.float() - confidence)
        return (gap.abs().sum() / len(right)).item()

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """All of the above but the logits, as JSON can hold it.

        There is no confusion matrix of more than :data:`MOST_CLASSES` classes: it would have a
        million cells of a thousand.
        """
        if self.truth is not None:
            return self._of_several(names)
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

    def _of_several(self, names: Sequence[str]) -> dict[str, Any]:
        """The summary where images have any number of labels: nothing is taken for another."""
        found = self.outcomes.all
        measures = {
            "mean_average_precision": found.mean_average_precision,
            "micro_f1": found.micro_f1,
            "macro_f1": found.macro_f1,
            "auroc": found.auroc,
        }
        return {
            "images": len(self.labels),
            "loss": self.loss,
            "accuracy": self.accuracy,
            **{name: value for name, value in measures.items() if not math.isnan(value)},
            "calibration_error": self.calibration_error(),
            "classes": list(names),
            "per_class": self.per_class(names),
        }


def share_interval(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The shares that so many images leave possible: the score interval of Wilson (1927)."""
    found = binomtest(right, images).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)
