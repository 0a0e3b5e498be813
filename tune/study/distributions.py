"""A search space as Optuna's distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from tune.config.keys import is_whole
from tune.config.space import Choices, Values


def distributions(space: Mapping[str, Values]) -> dict[str, BaseDistribution]:
    """Optuna's distribution for each searched key."""
    return {key: _distribution(key, values) for key, values in space.items()}


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Have a value drawn, or found where it has been drawn before."""
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise AssertionError(distribution)


def _distribution(key: str, values: Values) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(values.choices)
    if is_whole(key):
        step = int(values.step or 1)
        return IntDistribution(int(values.low), int(values.high), values.log, step)
    return FloatDistribution(values.low, values.high, values.log, values.step)
