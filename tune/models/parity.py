"""Whether a file answers as the model that it was made of, on the same images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.stored import Images
from trainable.inference.exported import Runner

_ROUNDING: Final = 1e-9
"""What a difference of two accuracies may be off by."""
_BATCH: Final = 32
_ROUNDS: Final = 5


@dataclass(frozen=True)
class Parity:
    """How the answers of a file compare with those of its model.

    Attributes:
        images: On how many images.
        difference: The largest between two probabilities.
        accuracy: The accuracy of the file, 0 to 1; None where the labels are unknown.
        expected: The accuracy of the model.
    """

    images: int
    difference: float
    accuracy: float | None = None
    expected: float | None = None

    def is_same(self, tolerance: float) -> bool:
        """Whether no probability differs by more than this."""
        return self.difference <= tolerance

    def is_as_accurate(self, tolerance: float) -> bool:
        """Whether the accuracy is lower by no more than this; False where it is unknown."""
        return (
            self.accuracy is not None
            and self.expected is not None
            and self.expected - self.accuracy <= tolerance + _ROUNDING
        )


def compare(model: Runner, file: Runner, images: Images, labels: Tensor | None = None) -> Parity:
    """Show the same images to a model and to a file made of it.

    Args:
        model: From images to probabilities.
        file: The same.
        images: uint8 of shape (N, 3, R, R).
        labels: int64 of shape (N,), or which labels each image has, bool of shape (N, classes), if
            they are known.
    """
    expected, found = (_answers(runner, images) for runner in (model, file))
    difference = float(np.abs(found - expected).max())
    if labels is None:
        return Parity(len(images), difference)
    truth = labels.numpy()
    if labels.ndim == 1:
        hits = [p.argmax(1) == truth for p in (found, expected)]
    else:
        hits = [((p > 0.5) == truth).all(1) for p in (found, expected)]
    accuracies = [float(right.mean()) for right in hits]
    return Parity(len(images), difference, *accuracies)


def rates(runners: tuple[Runner, Runner], pixels: Tensor) -> tuple[float, float]:
    """Images a second of two files, measured in turn; of each its best round."""
    for runner in runners:
        runner(pixels[:_BATCH])  # which sets it up
    rounds = [[_seconds(runner, pixels) for runner in runners] for _ in range(_ROUNDS)]
    one, other = (min(seconds) for seconds in zip(*rounds, strict=True))
    return len(pixels) / one, len(pixels) / other


def _seconds(runner: Runner, pixels: Tensor) -> float:
    start = time.perf_counter()
    _answers(runner, pixels)
    return time.perf_counter() - start


def _answers(runner: Runner, images: Images) -> NDArray[np.float32]:
    return np.concatenate([runner(batch) for batch in images.split(_BATCH)])
