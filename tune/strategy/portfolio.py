"""What is tried first."""

from __future__ import annotations

from typing import Any

from tune.config.schema import SearchConfig
from tune.config.space import flatten


def first_points(config: SearchConfig) -> list[dict[str, Any]]:
    """What is tried first: the config's points, else the base trial's own values."""
    return list(config.sampler.points) or [starting_point(config)]


def starting_point(config: SearchConfig) -> dict[str, Any]:
    """The base trial's own values, as far as they lie in the space."""
    own = flatten(config.base.model_dump())
    return {key: own[key] for key, values in config.space.items() if values.holds(own[key])}
