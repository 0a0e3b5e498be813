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
from tune.ranges import Choices, Range


def distributions(config: SearchConfig) -> dict[str, BaseDistribution]:
    """Optuna's distribution for each searched key."""
    return {key: _distribution(key, values) for key, values in config.space.items()}


def starting_point(config: SearchConfig) -> dict[str, Any]:
    """The base trial's own values, as far as they lie in the space: the first to try."""
    base = config.base
    point = {}
    for key, distribution in distributions(config).items():
        part, _, field = key.partition(".")
        value = getattr(getattr(base, part), field)
        if _contains(distribution, value):
            point[key] = value
    return point


def _distribution(key: str, values: Range | Choices) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(values.choices)
    if is_whole(key):
        step = int(values.step or 1)
        return IntDistribution(int(values.low), int(values.high), values.log, step)
    return FloatDistribution(values.low, values.high, values.log, values.step)


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if not isinstance(value, int | float):
        return False
    return bool(distribution._contains(distribution.to_internal_repr(value)))
