"""Whether a challenger may take the champion's place, by what both say of the same test images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from trainable.metrics import Objective
from trainable.predictions import Predictions

Rule = Literal["better", "not-worse", "always", "never"]

ACCURACY: Final = Objective.named("val_acc")

_RESAMPLES: Final = 10_000
_EVALUATIONS: Final = 2_000
"""Resamples where each has to be evaluated anew; more where `alpha` is so small that they could not
tell."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        objective: What they are compared by.
        champion: Its value of the objective.
        challenger: Its value.
        p_value: That they differ by chance alone: the exact test of McNemar (1947) of accuracies,
            from paired resamples of the images (Efron and Tibshirani 1993) of anything else.
        low: Lower end of the interval of `challenger - champion`.
        high: Upper end.
        images: How many images both were shown.
        left_out: How many test images one of them had seen in its training.
    """

    objective: Objective
    champion: float
    challenger: float
    p_value: float
    low: float
    high: float
    images: int = 0
    left_out: int = 0

    @property
    def is_better(self) -> bool:
        """Whether the challenger has the better value, significantly or not."""
        return self.objective.signed(self.challenger) > self.objective.signed(self.champion)

    def __str__(self) -> str:
        metric, show = self.objective.metric, self.objective.show
        if metric.is_share:
            difference = f"{100 * self.low:+.2f} to {100 * self.high:+.2f} points"
        else:
            difference = f"{self.low:+.4g} to {self.high:+.4g}"
        kind = "" if metric == ACCURACY.metric else f"{metric.quantity} "
        return (
            f"{kind}{show(self.challenger)} against the champion's {show(self.champion)} of the "
            f"{self._same_images}, p = {self.p_value:.2g}, difference {difference}"
        )

    @property
    def _same_images(self) -> str:
        if not self.left_out:
            return "same test images"
        of_all = self.images + self.left_out
        return f"{self.images} of {of_all} test images that neither has seen in training"


def compare_answers(
    champion: NDArray[np.bool_], challenger: NDArray[np.bool_], alpha: float, seed: int = 0
) -> Comparison:
    """Compare the accuracies of two models, image by image.

    Args:
        champion: Whether it is right, for each image; shape (N,).
        challenger: The same of the other.
        alpha: One minus the interval's confidence.
        seed: Decides the resamples.

    Raises:
        ValueError: They were not shown the same images.
    """
    _check_images(len(champion), len(challenger))
    lost = int((champion & ~challenger).sum())
    won = int((challenger & ~champion).sum())
    count = len(champion)
    # Differences are -1, 0 or 1: to draw images is to draw how many there are of each.
    shares = np.array([lost, won, count - lost - won]) / count
    draws = np.random.default_rng(seed).multinomial(count, shares, _RESAMPLES)
    differences = (draws[:, 1] - draws[:, 0]) / count
    low, high = np.quantile(differences, [alpha / 2, 1 - alpha / 2])
    return Comparison(
        objective=ACCURACY,
        champion=float(champion.mean()),
        challenger=float(challenger.mean()),
        p_value=float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
        low=float(low),
        high=float(high),
    )


def compare_predictions(
    objective: Objective,
    champion: Predictions,
    challenger: Predictions,
    alpha: float,
    seed: int = 0,
) -> Comparison:
    """Compare two models by an objective that has no exact test, over resamples of the images.

    Args:
        objective: What they are compared by.
        champion: Its predictions.
        challenger: Those of the other, on the same images in the same order.
        alpha: One minus the interval's confidence.
        seed: Decides the resamples.

    Raises:
        ValueError: They were not shown the same images.
    """
    count = len(champion.labels)
    _check_images(count, len(challenger.labels))
    of, generator = objective.metric.of, torch.Generator().manual_seed(seed)
    resamples = max(_EVALUATIONS, math.ceil(40 / alpha))
    differences = np.empty(resamples)
    for index in range(resamples):
        drawn = torch.randint(count, (count,), generator=generator)
        differences[index] = of(_some(challenger, drawn)) - of(_some(champion, drawn))
    # One is added, so that no p-value is smaller than the resamples can tell.
    tails = (1 + (differences <= 0).sum(), 1 + (differences >= 0).sum())
    low, high = np.quantile(differences, [alpha / 2, 1 - alpha / 2])
    return Comparison(
        objective=objective,
        champion=of(champion),
        challenger=of(challenger),
        p_value=min(1.0, 2 * float(min(tails)) / (resamples + 1)),
        low=float(low),
        high=float(high),
    )


def promotes(rule: Rule, comparison: Comparison | None, alpha: float) -> bool:
    """Whether the challenger takes the champion's place.

    Args:
        rule: `better` if it is significantly better, `not-worse` unless it is significantly
            worse, `always` or `never`.
        comparison: None where there is no champion, or none that can be compared with.
        alpha: Below it, a p-value is significant.
    """
    if rule in {"always", "never"} or comparison is None:
        return rule != "never"
    significant = comparison.p_value < alpha
    better = comparison.is_better
    return (significant and better) if rule == "better" else (better or not significant)


def _check_images(champion: int, challenger: int) -> None:
    if champion != challenger:
        raise ValueError(f"{champion} images against {challenger}: they must be the same")


def _some(predictions: Predictions, drawn: torch.Tensor) -> Predictions:
    return Predictions(predictions.logits[drawn], predictions.labels[drawn])
