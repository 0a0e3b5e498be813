"""What is proposed next, as a function of the study alone.

To add a sampler, register one more here: Optuna's, or any that keeps to its interface.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from trainable.seeding import seed_of
from tune.config.registries import SAMPLERS
from tune.config.sections import SamplerConfig

Make = Callable[[SamplerConfig, int], BaseSampler]
"""Makes a sampler of a config and a seed."""


def sampler(name: str, *, joint: bool) -> Callable[[Make], Make]:
    """A decorator that registers what makes a sampler.

    Args:
        name: As `sampler.name` has it.
        joint: Whether it proposes the values of a trial together, rather than each by itself.
    """

    def add(make: Make) -> Make:
        SAMPLERS.register(name)((make, joint))
        return make

    return add


@sampler("random", joint=False)
def random(_: SamplerConfig, seed: int) -> BaseSampler:
    """Values drawn evenly."""
    return RandomSampler(seed)


@sampler("tpe", joint=False)
def tpe(config: SamplerConfig, seed: int) -> BaseSampler:
    """The Tree-structured Parzen Estimator (Bergstra et al. 2011), key by key."""
    return TPESampler(seed=seed, n_startup_trials=config.startup_trials)


@sampler("joint_tpe", joint=True)
def joint_tpe(config: SamplerConfig, seed: int) -> BaseSampler:
    """TPE over all keys together (Falkner et al. 2018), away from what is running."""
    return TPESampler(
        seed=seed, n_startup_trials=config.startup_trials, multivariate=True, constant_liar=True
    )


@sampler("gp", joint=True)
def gp(config: SamplerConfig, seed: int) -> BaseSampler:
    """Expected improvement of a Gaussian process; trials that were stopped do not count."""
    return GPSampler(seed=seed, n_startup_trials=config.startup_trials)


class RepeatableSampler(BaseSampler):
    """A sampler of Optuna's, made anew with a seed of its own for each proposal.

    Optuna's samplers keep their random state in the process. Here it is made of the search's
    seed and the trial's number (and the key, where values are drawn one by one), so that a
    proposal is a function of the study alone: a search that was killed goes on with the values
    that it would have drawn, one by one even between two values of a trial.

    Args:
        config: Which sampler, and the seed.
    """

    def __init__(self, config: SamplerConfig) -> None:
        self._config = config
        self._make, self._joint = SAMPLERS[config.name]

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What is proposed together: nothing by a sampler that draws key by key."""
        if not self._joint:
            return {}
        return self._fresh(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values that are proposed together."""
        return self._fresh(trial).sample_relative(study, trial, search_space) if self._joint else {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One value by itself."""
        fresh = self._fresh(trial, param_name)
        return fresh.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """What the sampler does before it proposes."""
        self._fresh(trial).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """What the sampler does with a trial that has ended."""
        self._fresh(trial).after_trial(study, trial, state, values)

    def _fresh(self, trial: FrozenTrial, *key: str) -> BaseSampler:
        words = " ".join(map(str, (self._config.seed, trial.number, *key)))
        return self._make(self._config, seed_of(words, num_bytes=4))
