"""By how much two models differ, by what both say of the same test images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from trainable.judging.bootstrap import least_spread, resampled
from trainable.judging.metrics import Metric
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from tune.models.bound import most_lost

ACCURACY: Final = Objective.named("val_acc")

_RESAMPLES: Final = 10_000
_EVALUATIONS: Final = 2_000
"""Resamples where each is evaluated by itself; more where `alpha` is too small for so few."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        objective: What they are compared by.
        champion: Its value of the objective.
        challenger: Its value.
        p_value: That they differ by chance alone: the exact test of McNemar (1947) of accuracies,
            from paired resamples of the images (Efron and Tibshirani 1993) of anything else.
        resamples: How many resamples these were; 0 where the test is exact.
        low: Lower end of the interval of `challenger - champion`.
        high: Upper end.
        images: The number of images.
        alpha: One minus the confidence of the interval, and of what follows.
        most_lost: By how much the challenger is worse at most (one-sided); negative where it is
            better by at least so much.
        smallest: The same, had the two been equally good and disagreed as often: less than this
            these images cannot show.
        left_out: How many test images one of them had seen in its training.
    """

    objective: Objective
    champion: float
    challenger: float
    p_value: float
    low: float
    high: float
    images: int
    alpha: float
    most_lost: float
    smallest: float
    left_out: int = 0
    resamples: int = 0

    @property
    def is_better(self) -> bool:
        """Whether the challenger has the better value, significantly or not."""
        return self.objective.signed(self.challenger) > self.objective.signed(self.champion)

    @property
    def is_significant(self) -> bool:
        """Whether chance alone is an unlikely reason for the difference."""
        return self.p_value < self.alpha

    def points(self, value: float) -> str:
        """A difference as people read it: `0.6 points` of a share, else a number."""
        return self.objective.difference(value)

    def in_words(self, other: str) -> str:
        """What was shown: `0.6 points worse at most than the champion, with 95 % confidence`."""
        if self.most_lost >= 0:
            shown = f"{self.objective.difference(self.most_lost, ROUND_CEILING)} worse at most"
        else:
            shown = f"at least {self.objective.difference(-self.most_lost, ROUND_FLOOR)} better"
        return f"{shown} than {other}, with {100 * (1 - self.alpha):.4g} % confidence"

    def figures(self, other: str) -> str:
        """The figures, beside those of a model that is called so."""
        metric, show = self.objective.metric, self.objective.show
        if metric.is_share:
            difference = f"{100 * self.low:+.2f} to {100 * self.high:+.2f} points"
        else:
            difference = f"{self.low:+.4g} to {self.high:+.4g}"
        kind = "" if metric == ACCURACY.metric else f"{metric.quantity} "
        return (
            f"{kind}{show(self.challenger)} against {show(self.champion)} of {other} on the "
            f"{self._same_images}, p = {self.p_value:.2g}{self._how}, difference {difference}"
        )

    @property
    def _how(self) -> str:
        if not self.resamples:
            return ""
        by_class = " by class" if self.objective.metric.by_class else ""
        return f" of {self.resamples:,} resamples{by_class}"

    @property
    def _same_images(self) -> str:
        if not self.left_out:
            return f"same {self.images} test images"
        of_all = self.images + self.left_out
        return f"{self.images} of {of_all} test images that neither has seen in training"


def compare_answers(
    champion: NDArray[np.bool_],
    challenger: NDArray[np.bool_],
    alpha: float,
    seed: int = 0,
    objective: Objective = ACCURACY,
) -> Comparison:
    """Compare the accuracies of two models, or other shares of the images, image by image.

    Args:
        champion: Whether it is right, for each image; shape (N,).
        challenger: The same of the other.
        alpha: One minus the confidence.
        seed: Decides the resamples.
        objective: What the share is.

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
        objective=objective,
        champion=float(champion.mean()),
        challenger=float(challenger.mean()),
        p_value=float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
        low=float(low),
        high=float(high),
        images=count,
        alpha=alpha,
        most_lost=float(most_lost(lost, won, count, alpha)),
        smallest=float(most_lost((lost + won) / 2, (lost + won) / 2, count, alpha)),
    )


def compare_predictions(
    objective: Objective,
    champion: Predictions,
    challenger: Predictions,
    alpha: float,
    seed: int = 0,
) -> Comparison:
    """Compare two models: exactly by a share of the images, else over resamples of the images.

    There are 2,000 of them, the same images for both models, and as many of each class as there are
    where the objective counts classes alike; more where `alpha` is so small that they could not
    tell. Of a share, neither the bound nor the p-value is closer than so few images let it be: two
    images of a class that both models answer alike show no spread at all.

    Args:
        objective: What they are compared by.
        champion: Its predictions.
        challenger: Those of the other, on the same images in the same order.
        alpha: One minus the interval's confidence.
        seed: Decides the resamples.

    Raises:
        ValueError: They were not shown the same images.
    """
    count, metric = len(champion.labels), objective.metric
    _check_images(count, len(challenger.labels))
    if metric.hits is not None:
        before, now = metric.hits(champion), metric.hits(challenger)
        return compare_answers(before, now, alpha, seed, objective)
    resamples = max(_EVALUATIONS, math.ceil(40 / alpha))
    values = resampled(metric, [champion, challenger], resamples, seed)
    differences = values[:, 1] - values[:, 0]
    # One is added, so that no p-value is smaller than the resamples can tell.
    tails = (1 + (differences <= 0).sum(), 1 + (differences >= 0).sum())
    low, high = np.quantile(differences, [alpha / 2, 1 - alpha / 2])
    gains = objective.signed(1) * differences
    reached = [metric.of(each) for each in (champion, challenger)]
    shown = reached[1] - reached[0]
    floor = _least_spread(metric, champion, challenger, alpha)
    spread = max(floor, float(gains.mean() - np.quantile(gains, alpha)))
    by_resamples = min(1.0, 2 * float(min(tails)) / (resamples + 1))
    by_floor = 2 * float(norm.sf(abs(shown) / floor * norm.isf(alpha))) if floor else 0.0
    return Comparison(
        objective=objective,
        champion=reached[0],
        challenger=reached[1],
        p_value=max(by_resamples, by_floor),
        low=float(low),
        high=float(high),
        images=count,
        alpha=alpha,
        most_lost=spread - objective.signed(shown),
        smallest=spread,
        resamples=resamples,
    )


def _least_spread(
    metric: Metric, champion: Predictions, challenger: Predictions, alpha: float
) -> float:
    """By how much a difference may be off at least; 0 of what is no share.

    Of what the answers decide by class it is what the bound of Tango leaves open of the mean of the
    classes' recalls, by the root of the sum of squares (Zou and Donner 2008).
    """
    if not metric.is_share:
        return 0.0
    if not (metric.by_class and metric.of_labels):
        return least_spread(metric, champion.labels, alpha)
    labels, classes = champion.labels.numpy(), champion.logits.shape[1]
    changes = challenger.right.astype(int) - champion.right.astype(int)
    won, lost, images = (
        np.bincount(labels[chosen], minlength=classes)
        for chosen in (changes > 0, changes < 0, slice(None))
    )
    there = images > 0
    won, lost, images = won[there], lost[there], images[there]
    spreads = [
        (gain - loss) / count + float(most_lost(loss, gain, count, alpha))
        for gain, loss, count in zip(won, lost, images, strict=True)
    ]
    return math.hypot(*spreads) / len(spreads)


def _check_images(champion: int, challenger: int) -> None:
    if champion != challenger:
        raise ValueError(f"{champion} images against {challenger}: they must be the same")
