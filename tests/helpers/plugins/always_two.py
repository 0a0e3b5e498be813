"""A sampler from outside: the same depth for every trial, and all else at random."""

from __future__ import annotations

from typing import Any

from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler, RandomSampler

from tune.config.sections import SamplerConfig
from tune.strategy.samplers import sampler

_DEPTH = "model.unfreeze_depth"


class AlwaysTwo(RandomSampler):
    """Proposes depth 2."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        """The depth."""
        return {_DEPTH: IntDistribution(0, 5)}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        """The same each time."""
        return {_DEPTH: 2}


@sampler("always_two", joint=True)
def always_two(config: SamplerConfig, seed: int) -> BaseSampler:
    """The sampler of a seed."""
    return AlwaysTwo(seed)
