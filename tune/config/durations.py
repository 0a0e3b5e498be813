"""Durations, as people write them."""

from __future__ import annotations

import re
from typing import Annotated, Any

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


Duration = Annotated[float, BeforeValidator(parse_duration), Unit("seconds")]
"""Seconds, or a duration as people write it."""
