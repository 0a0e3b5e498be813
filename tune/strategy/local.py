"""A sampler that draws round the best trials so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trainable.seeding import seed_of

PARENTS: Final = (0.6, 0.25, 0.15)
"""How probably a trial is drawn round the best so far, the second, the third."""
STEP: Final = 0.15
"""The standard deviation of a number from its parent's, as a share of its range."""
KEPT: Final = 0.75
"""How probably a choice is the parent's, whatever is drawn else."""


class LocalSampler(BaseSampler):
    """Draws each value round that of one of the best three trials, whether they have ended or run.

    Numbers are drawn by a normal distribution, on a logarithmic scale where the space has one;
    choices stay as they are, or are drawn evenly. A value that the parent lacks is drawn evenly,
    and so are all before enough trials have ended.

    Args:
        seed: Of the value that is drawn.
        search_seed: Of the choice of the parent, which is the same for all values of a trial.
        startup_trials: The trials that have to have ended.
    """

    def __init__(self, seed: int, search_seed: int, startup_trials: int) -> None:
        self._seed, self._search_seed, self._startup_trials = seed, search_seed, startup_trials

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing is proposed together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
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
        parent = self._parent(study, trial.number)
        drawn = np.random.default_rng(self._seed)
        if param_name in parent:
            near = _near(param_distribution, parent[param_name], drawn)
            if near is not None:
                return near
        evenly = RandomSampler(self._seed)
        return evenly.sample_independent(study, trial, param_name, param_distribution)

    def _parent(self, study: Study, number: int) -> Mapping[str, Any]:
        """The values that a trial is drawn round."""
        trials = study.get_trials(deepcopy=False)
        if sum(each.state in _ENDED for each in trials) < self._startup_trials:
            return {}
        sign = 1 if study.direction is StudyDirection.MAXIMIZE else -1
        scores = [(_best(each, sign), each) for each in trials if each.intermediate_values]
        best = [each for _, each in sorted(scores, key=lambda pair: -pair[0])]
        drawn = np.random.default_rng(seed_of("parent", self._search_seed, number))
        rank = int(drawn.choice(len(PARENTS), p=PARENTS))
        return best[: rank + 1][-1].params if best else {}


_ENDED: Final = (TrialState.COMPLETE, TrialState.PRUNED)


def _best(trial: FrozenTrial, sign: int) -> float:
    """What a trial has reported at best, the higher the better."""
    values = [sign * value for value in trial.intermediate_values.values()]
    return max((value for value in values if not math.isnan(value)), default=-math.inf)


def _near(distribution: BaseDistribution, value: Any, drawn: np.random.Generator) -> Any:
    """A value near another one, or None for one that is to be drawn evenly."""
    if isinstance(distribution, CategoricalDistribution):
        return value if value in distribution.choices and drawn.random() < KEPT else None
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    step = STEP * drawn.normal()
    found = value * (high / low) ** step if distribution.log else value + (high - low) * step
    if distribution.step is not None:
        found = low + round((found - low) / distribution.step) * distribution.step
    found = min(max(found, low), high)
    return float(found) if isinstance(distribution, FloatDistribution) else round(found)
