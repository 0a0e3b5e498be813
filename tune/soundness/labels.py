"""Images whose label a model contradicts that was not trained on them: confident learning.

Northcutt et al. (2021) count, for each pair of classes, the images of the one that are as likely to
be of the other as images of that usually are; cleanlab is their implementation. It is an extra:
nothing here does it in its place.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tune.base.errors import ConfigError

PACKAGE: Final = "cleanlab"
INSTALL: Final = "pip install 'resnet-tune[data-check]'"


@dataclass(frozen=True, eq=False)
class Judged:
    """What models say of images that they were not trained on.

    Attributes:
        indices: The images, by their indices in a survey or a dataset; int64 of shape (N,).
        probabilities: float of shape (N, classes).
        how: Which images these are, and of which models the probabilities, in words.
    """

    indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    how: str


@dataclass(frozen=True)
class Doubt:
    """An image whose label is contradicted.

    Attributes:
        index: Its index, as :class:`Judged` has it.
        suggested: The class that is the most probable.
        probability: Of that class.
        quality: The probability of the label that it has: the lower, the more doubtful.
    """

    index: int
    suggested: int
    probability: float
    quality: float


def is_installed() -> bool:
    """Whether cleanlab can be imported."""
    return find_spec(PACKAGE) is not None


def check_installed() -> None:
    """Check that cleanlab can be imported.

    Raises:
        ConfigError: It cannot; says how it is installed.
    """
    if not is_installed():
        raise ConfigError(
            f"doubtful labels are found by {PACKAGE}, which is not installed: {INSTALL}"
        )


def doubtful(judged: Judged, labels: NDArray[np.int64]) -> list[Doubt]:
    """The images whose label is probably wrong, the most doubtful first.

    Args:
        judged: What is said of some images.
        labels: The labels of all images, indices into the classes.
    """
    from cleanlab.filter import find_label_issues

    given = labels[judged.indices]
    # Classes of which none was judged have no probability to compare with.
    present = np.unique(given)
    places = np.searchsorted(present, given)
    known = judged.probabilities[:, present].astype(np.float64)
    known /= np.maximum(known.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    if len(present) < 2:
        return []
    with warnings.catch_warnings():
        # Of a class with few images it takes care not to flag most, and says so each time.
        warnings.filterwarnings("ignore", "May not flag all label issues", UserWarning)
        ranked = find_label_issues(
            places, known, return_indices_ranked_by="self_confidence", n_jobs=1
        )
    return [_doubt(judged, int(at), int(given[at])) for at in ranked]


def _doubt(judged: Judged, at: int, label: int) -> Doubt:
    row = judged.probabilities[at]
    suggested = int(row.argmax())
    return Doubt(int(judged.indices[at]), suggested, float(row[suggested]), float(row[label]))
