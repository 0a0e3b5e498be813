"""Whether the runs of a finalist disagree by more than chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Final

from scipy.stats import chi2

from trainable.base.folds import Fold
from tune.strategy.confirmation import Finalist
from tune.strategy.folds import FOLD

ALPHA: Final = 0.05
"""How often runs that are equally good are said to disagree, at most."""
_LEAST: Final = 1.0
"""Images that must be expected to be right and wrong in each run, for the test to keep this."""
_LISTED: Final = 4


def differ(shares: Sequence[float], images: int) -> bool:
    """Whether the accuracies of several runs differ by more than chance on so many images explains.

    Of runs that are equally good, each is right about a binomial number of images. By how much
    these numbers differ then, the chi-squared test of homogeneity bounds (Pearson 1900, in the form
    of Campbell 2007 for few images). It takes the images of each run to be others. Where they are
    the same, as under other seeds, the runs err on the same ones, and chance explains less than the
    test allows: so what it finds large is large, while a smaller spread may still be the seed's.

    Args:
        shares: The accuracy of each run, 0 to 1.
        images: How many each was judged by.
    """
    runs, right = len(shares), mean(shares)
    if runs < 2 or images * min(right, 1 - right) < _LEAST:
        return False
    squares = sum((share - right) ** 2 for share in shares)
    found = images * squares / (right * (1 - right)) * (1 - 1 / (runs * images))
    return bool(found > chi2.isf(ALPHA, runs - 1))


def disagreement(finalist: Finalist, trained: int, validated: int) -> str:
    """What is to be said of runs that disagree, in a sentence; empty where they do not.

    Args:
        finalist: The finalist, with its runs.
        trained: How many images the search trains on.
        validated: How many it validates on.
    """
    images, shares = _judged_by(finalist, trained, validated), finalist.accuracies
    if not differ(shares, images):
        return ""
    what, others = "Seeds disagree", "validation images or folds"
    if finalist.is_over_folds:
        what, others = "Folds disagree", "images"
    if finalist.trial.objective.name != "val_acc":
        what += " in accuracy"
    return (
        f"{what} ({_listed(sorted(shares))}), by more than chance on {images} images "
        f"explains: more {others} would help"
    )


def _judged_by(finalist: Finalist, trained: int, validated: int) -> int:
    """How many images each run was judged by; of folds, which differ by a few, the mean."""
    if not finalist.is_over_folds:
        return validated
    return (trained + validated) // Fold.parse(str(finalist.runs[0].params[FOLD])).folds


def _listed(shares: Sequence[float]) -> str:
    shown = [f"{share:.2%}" for share in shares]
    if len(shown) > _LISTED:
        return f"{shown[0]} to {shown[-1]}"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
