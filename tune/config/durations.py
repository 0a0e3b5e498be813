"""Durations, as people write and read them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from trainable.config import Unit

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
LONGEST = 10**9
"""The longest duration in seconds, some 30 years: what is far longer is no number of a clock."""


def parse_duration(value: Any) -> Any:
    """Seconds of a duration such as `90s`, `30m`, `1h30m` or `2d`; numbers are seconds.

    Raises:
        ValueError: It is none of these.
    """
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"([0-9]{1,18}[dhms])+|[0-9]{1,18}(\.[0-9]{1,18})?", value):
        raise ValueError("a duration is written 90s, 30m, 1h30m or 2d")
    if value[-1].isdigit():
        return float(value)
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall("([0-9]+)([dhms])", value))


_SHOWN: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_IN_SECONDS: Final = 600
"""Durations below this are read in seconds alone."""


def duration_text(seconds: float) -> str:
    """A duration to be read: `183 s`, `1 h 30 min`, `2 d`; nothing of it is left out."""
    if seconds < _IN_SECONDS:
        return f"{seconds:g} s"
    parts, rest = [], round(seconds)
    for unit, size in _SHOWN:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def as_clock(seconds: float) -> str:
    """A duration that runs: `0:54`, from an hour on `1:30:00`, from a day on `2 d 0:00:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if not (days or hours):
        return f"{minutes}:{rest:02d}"
    return f"{f'{days} d ' if days else ''}{hours}:{minutes:02d}:{rest:02d}"


Duration = Annotated[float, BeforeValidator(parse_duration), Unit("seconds")]
"""Seconds, or a duration as people write it."""
