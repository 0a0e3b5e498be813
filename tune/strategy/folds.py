"""When the finalists run on folds, and when one of them has clearly lost.

Few folds are few pairs. A rank test cannot tell anything then: Wilcoxon's smallest p of three pairs
is 1/8. So the differences, fold by fold, are taken to be normal, with the variance of Nadeau and
Bengio (2003), since folds share most of their training images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import mean, variance
from typing import Final

from scipy.stats import t as student

from trainable.base.folds import Fold
from tune.config.schema import SearchConfig
from tune.strategy.schedulers import Scheduler
from tune.strategy.scheduling import longest_trial
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialLog, TrialState

FOLD: Final = "data.fold"
SMALL: Final = 250
"""Validation images below which finalists run on folds, and the winner is refitted, with `auto`: at
90 % right, the standard error of an accuracy is 1.9 points there, more than finalists differ by."""
FOLDS: Final = 5
"""Parts of a division. So a fold trains on about as many images as the search did."""
LEAST_PAIRS: Final = 3
"""Folds that both must have run before one of them can have lost."""
ALPHA: Final = 0.05
"""How likely it is at most that a given one of two equals is given up."""


def folds_of(config: SearchConfig, validated: int) -> int:
    """The number of folds that a search's finalists run on; 0 is none.

    Args:
        config: The search's.
        validated: The number of its validation images.
    """
    if config.confirm.folds != "auto":
        return config.confirm.folds
    small = validated < SMALL and config.data.fold is None
    return FOLDS if small and config.confirm.top_k else 0


def fold_names(count: int) -> tuple[str, ...]:
    """The names of so many folds: more than :data:`FOLDS` are of further divisions."""
    return tuple(map(str, Fold.first(count, min(count, FOLDS))))


def scores_by_fold(finalist: TrialLog, runs: Sequence[TrialLog]) -> dict[str, float]:
    """The score of each completed run of a finalist, by its fold, turned so that more is better.

    Each is that of the epoch that the search chose.
    """
    epoch, objective = finalist.best, finalist.objective
    assert epoch is not None
    return {
        str(run.params[FOLD]): objective.signed(objective.score(run.epochs[:epoch][-1].metrics))
        for run in runs
        if run.state is TrialState.COMPLETE
    }


def has_lost(own: Mapping[str, float], rivals: Sequence[Mapping[str, float]], planned: int) -> bool:
    """Whether a finalist is clearly worse than another, on the folds that both have run.

    Args:
        own: Its scores by fold; more is better.
        rivals: Those of each other finalist.
        planned: How many folds there are to be.
    """
    return any(
        _is_clear([rival[fold] - own[fold] for fold in own if fold in rival], own, rival, planned)
        for rival in rivals
    )


def _is_clear(
    gains: Sequence[float], own: Mapping[str, float], rival: Mapping[str, float], planned: int
) -> bool:
    pairs = len(gains)
    if pairs < LEAST_PAIRS or mean(gains) <= 0:
        return False
    # Scores come in steps, of one image: so equal differences are no proof that there is no noise.
    levels = sorted({*own.values(), *rival.values()})
    step = min((b - a for a, b in pairwise(levels)), default=0.0)
    noise = max(variance(gains), (step / 2) ** 2)
    share = 1 / pairs + 1 / (min(planned, FOLDS) - 1)  # the second: test over training images
    looks = max(1, planned - LEAST_PAIRS)  # after the last fold there is nothing to save
    return mean(gains) > float(student.ppf(1 - ALPHA / looks, pairs - 1)) * math.sqrt(share * noise)


class StopLosers(Scheduler):
    """Ends the runs of finalists that have clearly lost, and begins no more of them.

    Args:
        config: The search's.
        scores: The scores of each finalist by fold, as the ledger of their runs has them now.
        finalist_of: The number of the finalist that a run is one of; None of a former one.
    """

    def __init__(
        self,
        config: SearchConfig,
        scores: Callable[[Ledger], Mapping[int, Mapping[str, float]]],
        finalist_of: Callable[[TrialLog], int | None],
    ) -> None:
        super().__init__(config.scheduler, longest_trial(config))
        self._scores, self._finalist_of = scores, finalist_of
        self._folds = 0 if config.confirm.folds == "auto" else config.confirm.folds

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Stop a run of a finalist that has lost."""
        return Decision.GO_ON if self.wants(study, trial) else Decision.STOP

    def wants(self, study: Ledger, trial: TrialLog) -> bool:
        """Whether a run is of a finalist that may still win."""
        number, scores = self._finalist_of(trial), self._scores(study)
        if number is None or number not in scores:
            return True
        rivals = [each for other, each in scores.items() if other != number]
        return not has_lost(scores[number], rivals, self._folds)
