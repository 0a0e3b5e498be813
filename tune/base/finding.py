"""The result of one check, of the machine or of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]
"""`warn`: a search runs, but not as well as it could. `fail`: it would not run, or its result would
not hold."""


@dataclass(frozen=True)
class Finding:
    """The state of one thing that was checked.

    Attributes:
        name: The thing's name.
        state: Whether a search can use it.
        message: What was found, in one line.
        fix: What to do about it; None where there is nothing to do.
    """

    name: str
    state: State
    message: str
    fix: str | None = None


def gigabytes(size: float) -> str:
    """A number of bytes as gigabytes."""
    return f"{size / 10**9:,.1f} GB"
