"""By how much a share of the same images may be lower, at most (Tango 1998)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

_HALVINGS: Final = 40
_TINY: Final = 1e-12


def most_lost(lost: ArrayLike, won: ArrayLike, count: int, alpha: float) -> NDArray[np.float64]:
    """By how much accuracy is worse at most: the one-sided score interval of Tango (1998).

    Unlike the bootstrap and the normal approximation, it keeps its confidence with few images, and
    where two models disagree on none.

    Args:
        lost: How many images the first model alone gets right. Arrays are worked on elementwise.
        won: How many the second alone gets right.
        count: How many images there are.
        alpha: One minus the confidence.

    Returns:
        The greatest loss, 0 to 1, that is not refuted; negative where there must be a gain.
    """
    lost, won = np.broadcast_arrays(np.asarray(lost, float), np.asarray(won, float))
    wanted = float(norm.ppf(1 - alpha))
    # The score falls with the difference that is supposed: at the observed one it is 0.
    refuted, possible = np.full(lost.shape, -1.0), (won - lost) / count
    for _ in range(_HALVINGS):
        middle = (refuted + possible) / 2
        is_refuted = _score(lost, won, count, middle) >= wanted
        refuted = np.where(is_refuted, middle, refuted)
        possible = np.where(is_refuted, possible, middle)
    return -refuted


def _score(
    lost: NDArray[np.float64],
    won: NDArray[np.float64],
    count: int,
    difference: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Tango's statistic: deviations of the observed difference from a supposed one."""
    linear = (2 * count - won + lost) * difference - won - lost
    constant = -lost * difference * (1 - difference)
    root = np.sqrt(np.maximum(linear**2 - 8 * count * constant, 0))
    losing = (root - linear) / (4 * count)  # the likeliest share of lost images, supposing that
    variance = count * (2 * losing + difference * (1 - difference))
    return (won - lost - count * difference) / np.sqrt(np.maximum(variance, _TINY))
