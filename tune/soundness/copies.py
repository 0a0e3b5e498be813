"""Duplicates among surveyed images, exact or near, within and across splits and classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainable.data.parts import SPLITS, SplitName
from tune.soundness.survey import NO_LABEL, Survey


@dataclass(frozen=True)
class Copies:
    """Images that are duplicates of each other.

    Attributes:
        members: Their indices in the survey.
        splits: The splits that they are in.
        classes: The names of their classes; of several labels as a table has them (`cat|dog`).
        exact: Whether they are alike in every byte.
    """

    members: tuple[int, ...]
    splits: tuple[SplitName, ...]
    classes: tuple[str, ...]
    exact: bool

    @property
    def leaks(self) -> bool:
        """Whether they are in more than one split."""
        return len(self.splits) > 1

    @property
    def disagrees(self) -> bool:
        """Whether they are in more than one class, or have other labels."""
        return len(self.classes) > 1


def find_copies(survey: Survey) -> list[Copies]:
    """The groups of duplicates: those across splits first, then across classes, then by size."""
    order = np.argsort(survey.groups, kind="stable")
    _, starts = np.unique(survey.groups[order], return_index=True)
    groups = np.split(order, starts[1:])
    found = [_copies(survey, np.sort(group)) for group in groups if len(group) > 1]
    return sorted(
        found, key=lambda each: (-len(each.splits), -len(each.classes), -len(each.members))
    )


def _copies(survey: Survey, members: NDArray[np.int64]) -> Copies:
    splits = np.unique(survey.splits[members])
    in_order = members[np.argsort(survey.labels[members], kind="stable")]
    classes = dict.fromkeys(survey.label_of(index) for index in in_order)
    return Copies(
        members=tuple(map(int, members)),
        splits=tuple(SPLITS[index] for index in splits),
        classes=tuple(name or NO_LABEL for name in classes),
        exact=len(np.unique(survey.hashes[members])) == 1,
    )
