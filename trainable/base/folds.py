"""What a fold is called in a config: `2/5` is the second of five."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ALL: Final = "all"
"""The name of no fold: training and validation images are all trained on."""

MOST_FOLDS: Final = 20
_NAME: Final = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})(?:r([1-9]\d{0,2}))?", re.ASCII)


@dataclass(frozen=True)
class Fold:
    """One of the parts that the training and validation images are divided into.

    Attributes:
        number: Which one is validated on, from 1; the others are trained on.
        folds: How many there are.
        repeat: The number of the division, from 1: each is drawn anew.
    """

    number: int
    folds: int
    repeat: int = 1

    @classmethod
    def parse(cls, name: str) -> Fold:
        """The fold of a name such as `2/5`, or `2/5r3` of the third division.

        Raises:
            ValueError: There is no such fold.
        """
        found = _NAME.fullmatch(name)
        if found is not None:
            fold = cls(int(found[1]), int(found[2]), int(found[3] or 1))
            if fold.number <= fold.folds and 2 <= fold.folds <= MOST_FOLDS:
                return fold
        raise ValueError(
            f"{name!a}: must be all, or a fold such as 2/5 (the second of five; 2 to {MOST_FOLDS}) "
            "or 2/5r3 (of the third division)"
        )

    @classmethod
    def first(cls, count: int, folds: int) -> list[Fold]:
        """The first so many folds: all of one division, then those of the next."""
        return [cls(index % folds + 1, folds, index // folds + 1) for index in range(count)]

    def __str__(self) -> str:
        return f"{self.number}/{self.folds}" + (f"r{self.repeat}" if self.repeat > 1 else "")


def checked(name: str) -> str:
    """A name of a fold as it is spelled here.

    Raises:
        ValueError: There is no such fold.
    """
    return name if name == ALL else str(Fold.parse(name))
