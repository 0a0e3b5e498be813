"""The bootstrap over images (Efron and Tibshirani 1993), for what has no exact test or interval.

A measure that counts every class alike is resampled class by class: each draw has as many images of
every class as there are, or a class of two images would be missing from one draw in seven.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from trainable.judging.metrics import Metric
from trainable.judging.predictions import Predictions

_RESAMPLES: Final = 1_000
_DRAWN: Final = 2_000_000
"""The images that are drawn in all, about: of very many, a tenth of the resamples will do."""


def resampled(
    metric: Metric, models: Sequence[Predictions], resamples: int, seed: int
) -> NDArray[np.float64]:
    """A measure of models over draws of their images, which are the same for all of them.

    Args:
        metric: The measure.
        models: The predictions of each, on the same images in the same order.
        resamples: The number of draws.
        seed: Decides them.

    Returns:
        Values of shape (resamples, models).
    """
    draws = _draws(models[0].labels, resamples, seed, by_class=metric.by_class)
    if metric.is_light:
        outcomes = [model.outcomes for model in models]
        rows = [[metric.of(each.at(drawn.numpy())) for each in outcomes] for drawn in draws]
    else:
        rows = [[metric.of(model.drawn(drawn)) for model in models] for drawn in draws]
    return np.array(rows)


def interval(
    metric: Metric, predictions: Predictions, confidence: float = 0.95
) -> tuple[float, float]:
    """The values of a measure that so many images leave possible, always of the same draws.

    Percentiles of the draws; of a share no closer to its value than :func:`least_spread` says.

    Args:
        metric: The measure.
        predictions: On the images.
        confidence: The share of such intervals that hold the value on all possible images.

    Returns:
        Both ends.
    """
    tail, count = (1 - confidence) / 2, len(predictions.labels)
    resamples = max(_RESAMPLES // 10, min(_RESAMPLES, _DRAWN // count))
    low, high = np.quantile(resampled(metric, [predictions], resamples, 0), [tail, 1 - tail])
    if not metric.is_share:
        return float(low), float(high)
    value, least = metric.of(predictions), least_spread(metric, predictions.labels, tail)
    return max(0.0, min(float(low), value - least)), min(1.0, max(float(high), value + least))


def least_spread(metric: Metric, labels: Tensor, alpha: float) -> float:
    """By how much a share may differ at least, where resamples of few images show no spread at all.

    Of one that counts every image alike, what the score interval leaves open of `n` images that are
    all right, `z^2 / (n + z^2)` (Wilson 1927; Tango 1998 of pairs that all agree). Of one that
    counts every class alike, the same of the mean of the classes' shares, each with its own images,
    by the root of the sum of squares (Zou and Donner 2008).

    Args:
        metric: The share.
        labels: The images' classes.
        alpha: One minus the one-sided confidence.

    Returns:
        A share, 0 to 1.
    """
    z2 = float(norm.ppf(1 - alpha)) ** 2
    if not metric.by_class:
        return z2 / (len(labels) + z2)
    images = torch.bincount(labels)
    shares = z2 / (images[images > 0].double() + z2)
    return float(shares.square().sum().sqrt() / len(shares))


def _draws(labels: Tensor, resamples: int, seed: int, *, by_class: bool) -> Iterator[Tensor]:
    """Indices of the images of each draw."""
    count, generator = len(labels), torch.Generator().manual_seed(seed)
    if not by_class:
        for _ in range(resamples):
            yield torch.randint(count, (count,), generator=generator)
        return
    order = labels.argsort(stable=True)
    images = torch.bincount(labels)
    sizes = images[labels[order]]
    starts = (images.cumsum(0) - images)[labels[order]]
    for _ in range(resamples):
        share = torch.rand(count, generator=generator, dtype=torch.float64)
        yield order[starts + (share * sizes).long()]
