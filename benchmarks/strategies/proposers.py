"""Samplers that we do not ship, as functions of the study alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from trainable.seeding import seed_of
from tune.config.schema import SearchConfig
from tune.config.sections import SamplerConfig
from tune.strategy.distinct import DistinctSampler
from tune.strategy.samplers import RepeatableSampler, search_sampler

Space = dict[str, BaseDistribution]
ROUND: Final = 0.15
"""The standard deviation of a value that is drawn round another, as a share of its range."""
KEPT: Final = 0.75
"""How probably a choice is that of the config that it is drawn round."""
WIDE: Final = 0.25
"""The same as `ROUND` in the paper on PriorBand."""
FEWEST: Final = 3
"""The trials at a rung from which on they tell a prior from an incumbent."""


class Drawn(BaseSampler):
    """Draws key by key, evenly, but for what is given.

    Args:
        seed: The search's.
        given: Values that are always proposed, as near as the space has them.
    """

    def __init__(self, seed: int, given: Mapping[str, Any] | None = None) -> None:
        self._seed, self._given = seed, given or {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Space:
        """Nothing is proposed together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Space
    ) -> dict[str, Any]:
        """Nothing is proposed together."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One value."""
        return self._value(study, trial, param_name, param_distribution)

    def _value(self, study: Study, trial: FrozenTrial, key: str, values: BaseDistribution) -> Any:
        if key in self._given:
            return within(values, self._given[key])
        return evenly(self._seed, trial.number, key, values)

    def _generator(self, trial: FrozenTrial, *words: str) -> np.random.Generator:
        return np.random.default_rng(seed_of("proposer", self._seed, trial.number, *words))


class Prior(Drawn):
    """Draws evenly, round a prior, or round the best so far, after PriorBand (arXiv 2306.12370).

    A third is drawn evenly; the others round the prior and round the best so far, the latter the
    more often the more trials there are: greedier than the paper's (:class:`PriorBand`).

    Args:
        seed: The search's.
        prior: A config that is believed to be good.
    """

    def __init__(self, seed: int, prior: Mapping[str, Any]) -> None:
        super().__init__(seed)
        self._prior = prior

    def _value(self, study: Study, trial: FrozenTrial, key: str, values: BaseDistribution) -> Any:
        source = self._generator(trial).random()
        known = best(study)
        trusted = 1 / 3 + 1 / 3 * (0 if known is None else min(trial.number / 20, 1))
        if source < 1 / 3:
            return evenly(self._seed, trial.number, key, values)
        near = known if known is not None and source < trusted else self._prior
        value = within(values, near[key])
        return round_about(values, value, self._generator(trial, key))


class PriorBand(Prior):
    """Draws evenly, round a prior, or by mutation of the best so far (PriorBand, arXiv 2306.12370).

    As in the paper: a half is drawn evenly, as at its lowest rung, where all trials begin; the rest
    round the prior and from the incumbent, by how well each explains the best third of those that
    came the furthest. Otherwise than there, ASHA is its scheduler and not Hyperband.
    """

    def _value(self, study: Study, trial: FrozenTrial, key: str, values: BaseDistribution) -> Any:
        drawn = self._generator(trial)
        if drawn.random() < 1 / 2:
            return evenly(self._seed, trial.number, key, values)
        known, own = best(study), self._generator(trial, key)
        if known is None or drawn.random() < self._trust(study, known):
            return round_about(values, within(values, self._prior[key]), own, WIDE)
        if own.random() < 1 / 2:  # a half of its values are changed
            return known[key]
        return round_about(values, known[key], own, WIDE, kept=0.0)

    def _trust(self, study: Study, known: Mapping[str, Any]) -> float:
        """The share of the prior, beside that of the incumbent."""
        trials = ranked(study)
        furthest = max(len(each.intermediate_values) for each in trials)
        last = [each for each in trials if len(each.intermediate_values) == furthest]
        if len(last) < FEWEST:
            return 1 / 2
        top = last[: max(len(last) // 3, 1)]
        logs = np.array([[_density(each, near) for each in top] for near in (self._prior, known)])
        likely = np.exp(logs - logs.max()) @ np.arange(len(top), 0, -1)  # the best counts the most
        return float(likely[0] / likely.sum())


class Perturbed(Drawn):
    """Draws round one of the best three so far, or at random while there are none."""

    def _value(self, study: Study, trial: FrozenTrial, key: str, values: BaseDistribution) -> Any:
        rank = int(self._generator(trial).choice(3, p=[0.6, 0.25, 0.15]))
        near = best(study, rank)
        if near is None:
            return evenly(self._seed, trial.number, key, values)
        return round_about(values, near[key], self._generator(trial, key))


class InTurn(RepeatableSampler):
    """Proposes by a model of the trials and near the best of them, in turn.

    Args:
        model: The model's config.
        near: Proposes the odd trials.
    """

    def __init__(self, model: SamplerConfig, near: Drawn) -> None:
        super().__init__(model)
        self._near = near

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Space:
        """What is proposed together."""
        if trial.number % 2:
            return {}
        return super().infer_relative_search_space(study, trial)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One value by itself."""
        asked = self._near if trial.number % 2 else super()
        return asked.sample_independent(study, trial, param_name, param_distribution)


class ShortFirst(Drawn):
    """Trains so many at random under a short schedule, and the best again under the full one.

    Args:
        seed: The search's.
        count: How many.
        short: The epochs of a short schedule.
        full: The epochs of a full one.
    """

    def __init__(self, seed: int, count: int, short: int, full: int) -> None:
        super().__init__(seed)
        self._count, self._short, self._full = count, short, full

    def _value(self, study: Study, trial: FrozenTrial, key: str, values: BaseDistribution) -> Any:
        is_short = trial.number < self._count
        if key == "train.epochs":
            return self._short if is_short else self._full
        if is_short:
            return evenly(self._seed, trial.number, key, values)
        shorter = [each for each in ranked(study) if each.params["train.epochs"] == self._short]
        place = (trial.number - self._count) % max(len(shorter), 1)
        return shorter[place].params[key]


class _OnceDrawn(RepeatableSampler):
    """The same as what it inherits from, each value drawn once for all tasks and contestants."""

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One value."""
        if self._draw:
            return super().sample_independent(study, trial, param_name, param_distribution)
        return evenly(self._config.seed, trial.number, param_name, param_distribution)


def once_drawn(config: SearchConfig) -> BaseSampler:
    """A search's own sampler; random values, the same in all searches of a seed, from a cache."""
    if config.sampler.name != "random":
        return search_sampler(config)
    draw = partial(_OnceDrawn, config.sampler)
    return DistinctSampler(draw, config.space, config.own, config.sampler.seed)


def ranked(study: Study) -> list[FrozenTrial]:
    """The trials that have reported, the best first."""
    reported = [
        each
        for each in study.get_trials(deepcopy=False)
        if each.intermediate_values and each.state is not TrialState.FAIL
    ]
    return sorted(reported, key=lambda each: -max(each.intermediate_values.values()))


def best(study: Study, rank: int = 0) -> Mapping[str, Any] | None:
    """The values of the best trial, or the one that so many are better than."""
    found = ranked(study)[: rank + 1]
    return found[-1].params if found else None


def evenly(seed: int, number: int, key: str, distribution: BaseDistribution) -> Any:
    """What our random sampler draws."""
    return _evenly(seed, number, key, _Known(distribution))


class _Known:
    """A distribution to look up by: Optuna's hashes are slow."""

    def __init__(self, distribution: BaseDistribution) -> None:
        self.distribution = distribution
        self._text = repr(distribution)

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self._text == other._text


@cache
def _evenly(seed: int, number: int, key: str, known: _Known) -> Any:
    sampler = RandomSampler(seed_of(f"{seed} {number} {key}", num_bytes=4))
    return sampler.sample_independent(None, None, key, known.distribution)


def within(distribution: BaseDistribution, value: Any) -> Any:
    """The value of a distribution that is nearest."""
    if isinstance(distribution, CategoricalDistribution):
        if value in distribution.choices:
            return value
        return min(distribution.choices, key=lambda each: abs(float(each) - float(value)))
    value = min(max(value, distribution.low), distribution.high)
    return value if isinstance(distribution, FloatDistribution) else round(value)


def _density(trial: FrozenTrial, near: Mapping[str, Any]) -> float:
    """The logarithm of how likely a trial's values are to be drawn round others."""
    found = 0.0
    for key, value in trial.params.items():
        distribution = trial.distributions[key]
        center = within(distribution, near[key])
        if isinstance(distribution, CategoricalDistribution):
            other = (1 - KEPT) / len(distribution.choices)
            found += math.log(other + KEPT * (value == center))
        elif distribution.high > distribution.low:
            low, high, one, two = distribution.low, distribution.high, value, center
            if distribution.log:
                low, high, one, two = map(math.log, (low, high, one, two))
            found -= ((one - two) / (high - low) / WIDE) ** 2 / 2
    return found


def round_about(
    distribution: BaseDistribution,
    value: Any,
    drawn: np.random.Generator,
    width: float = ROUND,
    kept: float = KEPT,
) -> Any:
    """A value that is drawn round another."""
    if isinstance(distribution, CategoricalDistribution):
        if drawn.random() < kept:
            return value
        return distribution.choices[int(drawn.integers(len(distribution.choices)))]
    low, high, log = distribution.low, distribution.high, distribution.log
    step = drawn.normal() * width
    if log:
        return within(distribution, float(value * (high / low) ** step))
    return within(distribution, value + (high - low) * step)
