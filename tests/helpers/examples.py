"""How many of many examples are tried: all where the slow tests run, else a third of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

_Example = TypeVar("_Example")


def examples(count: int) -> int:
    """How many examples hypothesis tries, of so many."""
    return count if os.environ.get("TUNE_SLOW") else count // 3


def first_third(cases: Sequence[_Example]) -> Sequence[_Example]:
    """The cases of a parametrized test; those that find most come first."""
    return cases[: examples(len(cases))]
