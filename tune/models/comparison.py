"""Whether a challenger may take the champion's place, by what both say of the same test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Rule = Literal["better", "not-worse", "always", "never"]

_RESAMPLES: Final = 10_000


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        champion: Its accuracy, 0 to 1.
        challenger: Its accuracy.
        p_value: That they differ by chance alone: the exact test of McNemar (1947).
        low: Lower end of the interval of `challenger - champion`.
        high: Upper end.
    """

    champion: float
    challenger: float
    p_value: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.challenger:.2%} against the champion's {self.champion:.2%} of the same test "
            f"images, p = {self.p_value:.2g}, difference {100 * self.low:+.2f} to "
            f"{100 * self.high:+.2f} points"
        )


def compare(
    champion: NDArray[np.bool_], challenger: NDArray[np.bool_], alpha: float, seed: int = 0
) -> Comparison:
    """Compare two models, image by image.

    Args:
        champion: Whether it is right, for each image; shape (N,).
        challenger: The same of the other.
        alpha: One minus the interval's confidence.
        seed: Of the resampling.

    Raises:
        ValueError: They were not shown the same images.
    """
    if champion.shape != challenger.shape:
        raise ValueError(f"{len(champion)} images against {len(challenger)}: they must be the same")
    lost = int((champion & ~challenger).sum())
    won = int((challenger & ~champion).sum())
    count = len(champion)
    # Differences are -1, 0 or 1: to draw images is to draw how many there are of each.
    shares = np.array([lost, won, count - lost - won]) / count
    draws = np.random.default_rng(seed).multinomial(count, shares, _RESAMPLES)
    differences = (draws[:, 1] - draws[:, 0]) / count
    low, high = np.quantile(differences, [alpha / 2, 1 - alpha / 2])
    return Comparison(
        champion=float(champion.mean()),
        challenger=float(challenger.mean()),
        p_value=float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
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
    better = comparison.challenger > comparison.champion
    return (significant and better) if rule == "better" else (better or not significant)
