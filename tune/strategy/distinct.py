"""No trial twice: a proposal that equals a known trial is drawn again."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from typing import Any, Final

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from trainable.seeding import seed_of
from tune.config.keys import is_whole
from tune.config.space import enumerated
from tune.config.walk import Space, every_trial, walk
from tune.study.distributions import distributions
from tune.study.trial import CUT_SHORT, failed_by_itself

DRAWS: Final = 10
"""How often a proposal is drawn before one is taken from those that are left."""
_LISTED: Final = 10_000
"""The trials of a space of which those that are left are looked for."""
_FIXED: Final = "fixed_params"
"""Optuna's name for the values of a trial that was planned."""
_REDRAWN: Final = "redrawn"
"""Attribute of a trial: the values that were proposed in place of a known trial's."""


class DistinctSampler(BaseSampler):
    """Proposes what another sampler does, but no trial that is known already.

    A proposal is drawn whole before any of its values is noted. If it equals a trial that ran or
    runs, it is drawn again, with another seed; after some draws it is one of the trials that are
    left, evenly. What is taken instead is noted with the trial: a search that was killed goes on
    with it. A trial whose worker died is not known: it may be tried again.

    Args:
        draw: Makes the sampler of a draw: 0 for the first, 1 for the next, and so on.
        space: What is searched.
        own: The config's own values.
        seed: The seed of the choice among what is left.
    """

    def __init__(
        self, draw: Callable[[int], BaseSampler], space: Space, own: Mapping[str, Any], seed: int
    ) -> None:
        self._draw, self._space, self._own, self._seed = draw, space, own, seed
        self._first = draw(0)
        self._distributions = distributions(space)
        self._number, self._proposal = -1, dict[str, Any]()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the values of a trial that has none yet."""
        self._first.before_trial(study, trial)
        self._number = trial.number
        noted = trial.user_attrs.get(_REDRAWN)
        if noted is not None:
            self._proposal = json.loads(noted)
        else:  # one that was started goes on as the first draw has it
            self._proposal = {} if trial.params else self._chosen(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What is proposed together."""
        return self._first.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values that are proposed together."""
        if trial.number == self._number and self._proposal:
            return {key: self._proposal[key] for key in search_space if key in self._proposal}
        return self._first.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One value by itself."""
        if trial.number == self._number and param_name in self._proposal:
            return self._proposal[param_name]
        return self._first.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """What the sampler does with a trial that has ended."""
        self._first.after_trial(study, trial, state, values)

    def _chosen(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """The values of a new trial; noted with it where they are not the first draw's."""
        fixed = trial.system_attrs.get(_FIXED, {})
        first = self._proposed(self._first, study, trial, fixed)
        known = _known(study, trial)
        if _key(first) not in known or first.keys() <= fixed.keys():
            return first
        found = self._another(study, trial, fixed, known)
        if found is None:  # there is no other
            return first
        study._storage.set_trial_user_attr(trial._trial_id, _REDRAWN, json.dumps(found))
        return found

    def _another(
        self, study: Study, trial: FrozenTrial, fixed: Mapping[str, Any], known: set[Hashable]
    ) -> dict[str, Any] | None:
        """A proposal that equals no known trial, if there is one."""
        for number in range(1, DRAWS):
            found = self._proposed(self._draw(number), study, trial, fixed)
            if _key(found) not in known:
                return found
        try:
            listed = list(islice(every_trial(self._space, self._own), _LISTED))
        except OverflowError:  # chance has to find one, and did not
            return None
        left = [
            each
            for each in listed
            if _key(each) not in known and all(fixed.get(k, v) == v for k, v in each.items())
        ]
        seed = seed_of(f"{self._seed} {trial.number} left", num_bytes=4)
        return left[np.random.default_rng(seed).integers(len(left))] if left else None

    def _proposed(
        self, sampler: BaseSampler, study: Study, trial: FrozenTrial, fixed: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a sampler proposes for a trial, value by value as Optuna would ask it."""
        together: dict[str, Any] | None = None

        def draw(key: str) -> Any:
            nonlocal together
            distribution = self._distributions[key]
            if key in fixed:
                return fixed[key]
            if distribution.single():
                only = enumerated(self._space[key], whole=is_whole(key))
                assert only is not None
                return only[0]
            if together is None:
                searched = sampler.infer_relative_search_space(study, trial)
                together = sampler.sample_relative(study, trial, searched)
            if key in together:
                return together[key]
            return sampler.sample_independent(study, trial, key, distribution)

        return walk(self._space, self._own, draw)


def _known(study: Study, trial: FrozenTrial) -> set[Hashable]:
    """The values of all trials but this one that ran or run."""
    return {
        _key(other.params)
        for other in study.get_trials(deepcopy=False)
        if other.number != trial.number
        and (
            other.state is not TrialState.FAIL
            or failed_by_itself(other)
            or CUT_SHORT in other.user_attrs
        )
    }


def _key(params: Mapping[str, Any]) -> Hashable:
    """What is the same of equal trials; steps of a range are not exact."""
    rounded = {k: float(f"{v:.12g}") if isinstance(v, float) else v for k, v in params.items()}
    return frozenset(rounded.items())
