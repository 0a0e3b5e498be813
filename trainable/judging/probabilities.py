"""From logits to probabilities and back, of one label an image and of several."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Floats = NDArray[np.float32]


def mean_answer(first: Tensor, second: Tensor, *, several: bool = False) -> Tensor:
    """Logits whose probabilities are the mean of those of two."""
    if several:
        having, lacking = (
            torch.logaddexp(F.logsigmoid(sign * first), F.logsigmoid(sign * second))
            for sign in (1, -1)
        )
        return having - lacking
    return torch.logaddexp(first.log_softmax(1), second.log_softmax(1)) - math.log(2)


def sureness_of(probabilities: Floats, *, several: bool) -> Floats:
    """The probability of each answer: the highest; of several labels, that of the least sure.

    Args:
        probabilities: Of shape (..., classes).
        several: Whether an image may have any number of labels.

    Returns:
        Of shape (...).
    """
    if several:
        return np.maximum(probabilities, 1 - probabilities).min(axis=-1)
    return probabilities.max(axis=-1)


def logits_of(probabilities: NDArray[np.floating], *, several: bool) -> NDArray[np.float64]:
    """Logits that have these probabilities, of shape (N, classes).

    In double precision, in which no two probabilities have the same logarithm.
    """
    found, smallest = probabilities.astype(np.float64), np.finfo(np.float32).tiny
    logits = np.log(found.clip(smallest))
    return logits - np.log((1 - found).clip(smallest)) if several else logits
