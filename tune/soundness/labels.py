"""Images whose label a model contradicts that was not trained on them: confident learning.

Northcutt et al. (2021) count, for each pair of classes, the images of the one that are as likely to
be of the other as images of that usually are; cleanlab is their implementation. It is an extra:
nothing here does it in its place.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tune.base.errors import ConfigError
from tune.soundness.survey import NO_LABEL, Survey

PACKAGE: Final = "cleanlab"
INSTALL: Final = "pip install 'resnet-tune[data-check]'"


@dataclass(frozen=True, eq=False)
class Judged:
    """What models say of images that they were not trained on.

    Attributes:
        indices: The images, by their indices in a survey or a dataset; int64 of shape (N,).
        probabilities: float of shape (N, classes); of several labels of each on its own.
        how: Which images these are, and of which models the probabilities, in words.
    """

    indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    how: str


@dataclass(frozen=True)
class Doubt:
    """An image whose label is contradicted; of several labels, one at least.

    Attributes:
        index: Its index, as :class:`Judged` has it.
        suggested: The class that is the most probable; of several labels, those that it has, with
            each that is contradicted turned round.
        probability: Of that class; of several labels, that the most doubtful of them is wrong.
        quality: The probability of the label that it has: the lower, the more doubtful. Of several
            labels, of the most doubtful one.
        doubted: Of several labels, those that are contradicted, the most doubtful first: those that
            it has or lacks, each with the probability that this is wrong.
    """

    index: int
    suggested: tuple[int, ...]
    probability: float
    quality: float
    doubted: tuple[tuple[int, float], ...] = ()


def described(doubt: Doubt, survey: Survey) -> str:
    """What an image is called, and what it probably is instead: `cat, probably dog (93%)`.

    Of several labels: `cat|dog, probably without dog (93%) and with bird (88%)`.
    """
    given = survey.label_of(doubt.index) or NO_LABEL
    if not doubt.doubted:
        return f"{given}, probably {survey.joined(doubt.suggested)} ({doubt.probability:.0%})"
    told = (
        f"{'with' if label in doubt.suggested else 'without'} {survey.classes[label]} ({wrong:.0%})"
        for label, wrong in doubt.doubted
    )
    return f"{given}, probably {' and '.join(told)}"


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
    with _quiet():
        ranked = find_label_issues(
            places, known, return_indices_ranked_by="self_confidence", n_jobs=1
        )
    return [_doubt(judged, int(at), int(given[at])) for at in ranked]


def doubtful_of_several(judged: Judged, targets: NDArray[np.uint8]) -> list[Doubt]:
    """The same where images have any number of labels, each of which may be wrong on its own.

    For each label, images that have it are told from those that lack it, as two classes are.

    Args:
        judged: What is said of some images.
        targets: Which labels all images have, of shape (images, classes).
    """
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    given = targets[judged.indices].astype(bool)
    # Of a label that all have, or none, there is nothing to tell it from.
    present = np.flatnonzero(given.any(axis=0) & ~given.all(axis=0))
    issues = np.zeros(given.shape, bool)
    if len(present):
        rows = [np.flatnonzero(row).tolist() for row in given[:, present]]
        known = judged.probabilities[:, present].astype(np.float64)
        with _quiet():
            issues[:, present] = find_multilabel_issues_per_class(rows, known, n_jobs=1)
    wrong = np.where(given, 1 - judged.probabilities, judged.probabilities)
    found = [
        _doubt_of_several(int(judged.indices[at]), given[at], issues[at], wrong[at])
        for at in np.flatnonzero(issues.any(axis=1))
    ]
    return sorted(found, key=lambda doubt: doubt.quality)


@contextmanager
def _quiet() -> Iterator[None]:
    """Of a class with few images cleanlab takes care not to flag most, and says so each time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "May not flag all label issues", UserWarning)
        yield


def _doubt_of_several(
    index: int, given: NDArray[np.bool_], issues: NDArray[np.bool_], wrong: NDArray[np.float32]
) -> Doubt:
    worst_first = sorted(np.flatnonzero(issues), key=lambda label: -wrong[label])
    doubted = tuple((int(label), float(wrong[label])) for label in worst_first)
    suggested = tuple(map(int, np.flatnonzero(given ^ issues)))
    return Doubt(index, suggested, doubted[0][1], 1 - doubted[0][1], doubted)


def _doubt(judged: Judged, at: int, label: int) -> Doubt:
    row = judged.probabilities[at]
    suggested = int(row.argmax())
    return Doubt(int(judged.indices[at]), (suggested,), float(row[suggested]), float(row[label]))
