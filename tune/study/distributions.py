"""A search space as Optuna's distributions."""

from __future__ import annotations

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune.config.schema import SearchConfig, is_whole
from tune.config.space import Choices, Range


def distributions(config: SearchConfig) -> dict[str, BaseDistribution]:
    """Optuna's distribution for each searched key."""
    return {key: _distribution(key, values) for key, values in config.space.items()}


def _distribution(key: str, values: Range | Choices) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(values.choices)
    if is_whole(key):
        step = int(values.step or 1)
        return IntDistribution(int(values.low), int(values.high), values.log, step)
    return FloatDistribution(values.low, values.high, values.log, values.step)
