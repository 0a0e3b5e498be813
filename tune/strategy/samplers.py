"""What is proposed next, as a function of the study alone."""

from __future__ import annotations

import hashlib
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from tune.config.schema import SamplerConfig


class RepeatableSampler(BaseSampler):
    """Optuna's sampler, seeded anew for each value that it draws.

    Optuna's own keep their random state in the process. Here each value is drawn from a seed of
    its own, made of the search's seed, the trial's number and the key: a search that was killed,
    even between two values of one trial, goes on with the values that it would have drawn.

    Args:
        config: Which sampler, and the seed.
    """

    def __init__(self, config: SamplerConfig) -> None:
        self._config = config

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """No value depends on another of the same trial."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing, for the same reason."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One value."""
        sampler = self._seeded(f"{self._config.seed} {trial.number} {param_name}")
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _seeded(self, key: str) -> BaseSampler:
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4])
        if self._config.name == "random":
            return RandomSampler(seed)
        return TPESampler(seed=seed, n_startup_trials=self._config.startup_trials)
