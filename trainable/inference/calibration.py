"""What a classifier's probabilities are worth: a temperature, and the confidence to be sure from.

Both are measured on the validation images, which the model was not trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch.nn.functional import binary_cross_entropy_with_logits

from trainable.judging.predictions import Predictions

RATE: Final = 0.95
"""The share of the sure answers that are right on the validation images, at least."""
LEAST_IMAGES: Final = 30
"""The fewest images from which a temperature or a rate can be estimated."""
NEVER_SURE: Final = 2.0
"""A confidence that no answer has."""
_MOST: Final = 10_000
"""Images that are enough for a single number."""
_RANGE: Final = math.log(20)
"""The temperature is between 1/20 and 20."""


@dataclass(frozen=True)
class Calibration:
    """How a classifier's probabilities are to be read.

    Attributes:
        temperature: What its logits are divided by (Guo et al. 2017), which changes no label, also
            where an image may have any number of them.
        unsure_below: The calibrated confidence below which an answer is unsure: 0 where none is,
            :data:`NEVER_SURE` where all are.
    """

    temperature: float = 1.0
    unsure_below: float = 0.0

    def of(self, predictions: Predictions) -> Predictions:
        """Predictions as the calibrated model makes them, of those that it makes without."""
        return replace(predictions, logits=predictions.logits / self.temperature)

    def is_sure(self, predictions: Predictions) -> NDArray[np.bool_]:
        """Whether each answer is sure, of predictions without calibration: shape (N,)."""
        return _confidence(self.of(predictions)) >= self.unsure_below


NONE: Final = Calibration()
"""Of a model that is not calibrated: no answer of it is unsure."""


def calibrate(held_out: Predictions) -> Calibration:
    """Measure a model's calibration on images that it was not trained on.

    The answers are sure from the lowest confidence on from which at least :data:`RATE` of them are
    right, of at least :data:`LEAST_IMAGES`. Where an image may have any number of labels, an answer
    is right if all of them are, and its confidence is that in the least sure of them.

    Returns:
        :data:`NONE` where there are fewer images.
    """
    if len(held_out.labels) < LEAST_IMAGES:
        return NONE
    fitted = Calibration(fit_temperature(held_out))
    calibrated = fitted.of(replace(held_out, logits=held_out.logits.double()))
    return Calibration(fitted.temperature, _sure_from(_confidence(calibrated), held_out.right))


def fit_temperature(held_out: Predictions) -> float:
    """The temperature with the lowest cross-entropy on held-out images (Guo et al. 2017).

    As if there were one more image, of any class, or with half of each label: else a model that
    makes no mistake on a few images would be certain of everything (compare Platt 1999).
    """
    some = torch.randperm(len(held_out.labels), generator=torch.Generator().manual_seed(0))[:_MOST]
    chosen = held_out.drawn(some)
    logits = chosen.logits.double()

    def loss(log_inverse: float) -> float:
        return _smoothed_loss(replace(chosen, logits=logits * math.exp(log_inverse)))

    found = minimize_scalar(loss, bounds=(-_RANGE, _RANGE), method="bounded")
    return math.exp(-float(found.x))


def _smoothed_loss(found: Predictions) -> float:
    share = 1 / (len(found.labels) + 1)
    if found.truth is not None:
        smoothed = (1 - share) * found.truth.to(found.logits) + share / 2
        return binary_cross_entropy_with_logits(found.logits, smoothed).item()
    logs = found.logits.log_softmax(1)
    truth = logs.gather(1, found.labels[:, None]).mean()
    return -((1 - share) * truth + share * logs.mean()).item()


def _confidence(predictions: Predictions) -> NDArray[np.float64]:
    return predictions.confidence.numpy()


def _sure_from(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The lowest confidence from which on the answers are right often enough."""
    order = np.argsort(-confidence, kind="stable")
    falling, counts = confidence[order], np.arange(1, len(order) + 1)
    next_one = np.append(falling[1:], -1.0)
    fits = (np.cumsum(right[order]) >= RATE * counts) & (counts >= LEAST_IMAGES)
    (found,) = np.nonzero(fits & (falling > next_one))  # of equals, all or none
    if not len(found):
        return NEVER_SURE
    last = int(found[-1])
    return 0.0 if last + 1 == len(order) else float(falling[last] + next_one[last]) / 2
