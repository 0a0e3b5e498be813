"""What `python -m tune.doctor` says of one thing it has looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]
"""`warn`: a search runs, but not as well as it could. `fail`: it would not run."""


@dataclass(frozen=True)
class Finding:
    """The state of one thing.

    Attributes:
        name: Of the thing.
        state: Whether a search can do with it.
        message: What was found, in one line.
        fix: What to do about it; None where there is nothing to do.
    """

    name: str
    state: State
    message: str
    fix: str | None = None


def gigabytes(size: float) -> str:
    """Bytes as gigabytes."""
    return f"{size / 10**9:,.1f} GB"
