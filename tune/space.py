"""A search space as Optuna's distributions."""

from __future__ import annotations

from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune.config import SearchConfig, is_whole
from tune.ranges import Choices, Range, flatten


def distributions(config: SearchConfig) -> dict[str, BaseDistribution]:
    """Optuna's distribution for each searched key."""
    return {key: _distribution(key, values) for key, values in config.space.items()}


def first_points(config: SearchConfig) -> list[dict[str, Any]]:
    """What is tried first: the config's points, else the base trial's own values."""
    return list(config.sampler.points) or [starting_point(config)]


def starting_point(config: SearchConfig) -> dict[str, Any]:
    """The base trial's own values, as far as they lie in the space."""
    own = flatten(config.base.model_dump())
    return {key: own[key] for key, values in config.space.items() if values.holds(own[key])}


def _distribution(key: str, values: Range | Choices) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(values.choices)
    if is_whole(key):
        step = int(values.step or 1)
        return IntDistribution(int(values.low), int(values.high), values.log, step)
    return FloatDistribution(values.low, values.high, values.log, values.step)
