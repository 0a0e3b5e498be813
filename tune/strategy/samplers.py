"""What is proposed next, as a function of the study alone.

To add a sampler, register one more here: Optuna's, or any that keeps to its interface.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from trainable.seeding import seed_of
from tune.config.registries import SAMPLERS
from tune.config.schema import SearchConfig
from tune.config.sections import SamplerConfig
from tune.strategy.distinct import DistinctSampler
from tune.strategy.failures import Taught

Make = Callable[[SamplerConfig, int], BaseSampler]
"""Makes a sampler of a config and a seed."""


class Registered(NamedTuple):
    """A sampler that a config may name; the attributes are those of :func:`sampler`."""

    make: Make
    joint: bool
    reads_pruned: bool


def sampler(name: str, *, joint: bool, reads_pruned: bool = True) -> Callable[[Make], Make]:
    """A decorator that registers what makes a sampler.

    Args:
        name: As `sampler.name` has it.
        joint: Whether it proposes the values of a trial together, rather than each by itself.
        reads_pruned: Whether it learns from trials that were stopped.
    """

    def add(make: Make) -> Make:
        SAMPLERS.register(name, by=make)(Registered(make, joint, reads_pruned))
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
    """TPE over all keys together (Falkner et al. 2018), away from what is running.

    Of a space with conditions, it is over the keys together that the same trials have.
    """
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        return TPESampler(
            seed=seed,
            n_startup_trials=config.startup_trials,
            multivariate=True,
            group=True,
            constant_liar=True,
        )


@sampler("gp", joint=True, reads_pruned=False)
def gp(config: SamplerConfig, seed: int) -> BaseSampler:
    """Expected improvement of a Gaussian process; trials that were stopped do not count.

    Keys that not every trial has are drawn evenly.
    """
    return GPSampler(seed=seed, n_startup_trials=config.startup_trials)


class RepeatableSampler(BaseSampler):
    """A sampler of Optuna's, made for each proposal with a seed of its own.

    Optuna's samplers keep their random state in the process. Here it is made of the search's
    seed and the trial's number (and the key, where values are drawn one by one), so that a
    proposal is a function of the study alone: a search that was killed goes on with the values
    that it would have drawn, one by one even between two values of a trial. What draws nothing is
    asked of one sampler for all trials.

    Args:
        config: Which sampler, and the seed.
        draw: How often the trial was drawn before: each draw has a seed of its own.
    """

    def __init__(self, config: SamplerConfig, draw: int = 0) -> None:
        self._config, self._draw = config, draw
        self._make, self._joint, self._reads_pruned = SAMPLERS[config.name]
        self._still = self._make(config, config.seed)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What is proposed together: nothing by a sampler that draws key by key."""
        if not self._joint:
            return {}
        return self._still.infer_relative_search_space(self._taught(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values that are proposed together."""
        if not self._joint:
            return {}
        fresh, taught = self._fresh(trial), self._taught(study)
        fresh.infer_relative_search_space(taught, trial)  # of which some keep what they found
        return fresh.sample_relative(taught, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One value by itself."""
        fresh, taught = self._fresh(trial, param_name), self._taught(study)
        return fresh.sample_independent(taught, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """What the sampler does before it proposes."""
        self._still.before_trial(self._taught(study), trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """What the sampler does with a trial that has ended."""
        self._still.after_trial(self._taught(study), trial, state, values)

    def _fresh(self, trial: FrozenTrial, *key: str) -> BaseSampler:
        draw = (f"draw {self._draw}",) if self._draw else ()
        words = " ".join(map(str, (self._config.seed, trial.number, *key, *draw)))
        return self._make(self._config, seed_of(words, num_bytes=4))

    def _taught(self, study: Study) -> Study:
        return Taught(study, reads_pruned=self._reads_pruned)


def search_sampler(config: SearchConfig) -> BaseSampler:
    """The sampler of a search, which proposes no trial twice."""
    draw = partial(RepeatableSampler, config.sampler)
    return DistinctSampler(draw, config.space, config.own, config.sampler.seed)
