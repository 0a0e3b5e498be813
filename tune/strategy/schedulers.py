"""Which trials go on after an epoch, as a function of the study alone.

To add a scheduler, register one more class here. It is asked after each epoch, and keeps nothing
of its own: so it decides the same after a kill, and on curves that were recorded elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from tune.config.registries import SCHEDULERS
from tune.config.sections import SchedulerConfig
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialLog, TrialState

_FEWEST_COMPLETE: Final = 4
"""The complete trials without which no median says anything."""


@SCHEDULERS.register("fifo")
class Scheduler:
    """Lets every trial run to its own end; the base of all others.

    Args:
        config: The scheduler's keys.
        longest: The epochs of the longest trial in the space.
    """

    def __init__(self, config: SchedulerConfig, longest: int) -> None:
        self.config, self.longest = config, longest

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """What becomes of a trial after an epoch.

        Args:
            study: All trials so far.
            trial: The trial, with the epochs before this one.
            epoch: What it reports now; it is epoch `len(trial.epochs) + 1`.
        """
        return Decision.GO_ON

    def expected_share(self, epoch: int) -> float:
        """The share of the trials that reach an epoch which is to be expected to go on."""
        return 1.0

    @property
    def unjudged(self) -> int:
        """How many first trials are never stopped, so that they say nothing of those after them."""
        return 0

    def wants(self, study: Ledger, trial: TrialLog) -> bool:
        """Whether a trial that was planned is still worth its time; else it ends unrun."""
        return True

    def has_enough(self, study: Ledger) -> bool:
        """Whether no trial is to begin any more, whatever number was asked for."""
        return False

    def next_paused(self, study: Ledger) -> TrialLog | None:
        """A paused trial that is to go on before any other begins, if there is one.

        It is asked whenever there is room for a trial. What it never names is stopped when there
        is nothing else left to run.
        """
        return None


class ByRungs(Scheduler):
    """The base of those that let one trial in `reduction_factor` go on from each rung.

    Attributes:
        rungs: The epochs at which trials are compared.
    """

    def __init__(self, config: SchedulerConfig, longest: int) -> None:
        super().__init__(config, longest)
        self.rungs = rungs(config, longest)

    def expected_share(self, epoch: int) -> float:
        """One in `reduction_factor` at a rung."""
        return 1 / self.config.reduction_factor if epoch in self.rungs else 1.0


@SCHEDULERS.register("asha")
class Asha(ByRungs):
    """Asynchronous successive halving (Li et al. 2020), as Ray Tune has it.

    A trial that reaches a rung goes on unless it is below the quantile of those that were there
    before it, of which one in `reduction_factor` is above.
    """

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Stop a trial that is among the weaker ones at a rung."""
        rung = len(trial.epochs) + 1
        if rung not in self.rungs:
            return Decision.GO_ON
        before = [value for _, value in scores_at(study, rung)]
        share = 1 - 1 / self.config.reduction_factor
        if before and _signed(study, epoch) < np.nanpercentile(before, 100 * share):
            return Decision.STOP
        return Decision.GO_ON


@SCHEDULERS.register("halving")
class Halving(ByRungs):
    """Successive halving (Jamieson & Talwalkar 2016): all trials pause at a rung, the best go on.

    Once every trial that can come to a rung is there, one in `reduction_factor` goes on to the
    next, from its checkpoint.
    """

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Pause at each rung."""
        at_rung = len(trial.epochs) + 1 in self.rungs
        return Decision.PAUSE if at_rung else Decision.GO_ON

    def next_paused(self, study: Ledger) -> TrialLog | None:
        """The best of those that wait at the lowest rung from which there are any left to go on."""
        waiting = {log.number for log in study.paused}
        candidates, expected = set(study.trials), study.asked
        for rung in self.rungs:
            there = [each for each in scores_at(study, rung) if each[0] in candidates]
            lost = sum(_ended_before(study.trials[number], rung) for number in candidates)
            if len(there) + lost < expected:
                return None
            # What was stopped at this rung, before the search was extended, goes nowhere any more.
            able = [each for each in there if not _ended_at(study.trials[each[0]], rung)]
            best = sorted(able, key=lambda each: (-each[1], each[0]))
            best = best[: max(1, int(len(there) / self.config.reduction_factor))]
            for number, _ in best:
                if number in waiting and len(study.trials[number].epochs) == rung:
                    return study.trials[number]
            candidates, expected = {number for number, _ in best}, len(best)
        return None


@SCHEDULERS.register("median")
class Median(Scheduler):
    """Stops a trial whose best is below the median of the complete ones' at its epoch.

    It is Vizier's rule (Golovin 2017), and decides as Optuna's `MedianPruner`, which would read
    all epochs of the running trials from the storage at each of them.
    """

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Stop the weaker half, once four trials are complete to compare with."""
        number = len(trial.epochs) + 1
        complete = [log for log in study.trials.values() if log.state is TrialState.COMPLETE]
        if number < self.config.grace_epochs or len(complete) < _FEWEST_COMPLETE:
            return Decision.GO_ON
        objective = study.objective
        there = [log.epochs[number - 1] for log in complete if len(log.epochs) >= number]
        if not there:
            return Decision.GO_ON
        median = np.nanmedian([objective.score(each.metrics) for each in there])
        so_far = [epoch, *([trial.best_epoch] if trial.epochs else [])]
        best = max(_signed(study, each) for each in so_far)
        return Decision.STOP if best < objective.signed(float(median)) else Decision.GO_ON

    def expected_share(self, epoch: int) -> float:
        """Half of them at the first epoch at which any are stopped."""
        return 0.5 if epoch == self.config.grace_epochs else 1.0

    @property
    def unjudged(self) -> int:
        """Those with which the others are compared."""
        return _FEWEST_COMPLETE


def rungs(config: SchedulerConfig, longest: int) -> list[int]:
    """The epochs at which trials are compared, in order: the last is before the end."""
    grace, factor = config.grace_epochs, config.reduction_factor
    count = int(np.log(longest / grace) / np.log(factor) + 1)
    found = sorted({math.ceil(grace * factor**power) for power in range(count)})
    return [rung for rung in found if rung < longest]


def scores_at(study: Ledger, epoch: int) -> Sequence[tuple[int, float]]:
    """The objective of every trial that has reached an epoch, turned so that more is better."""
    return [
        (log.number, _signed(study, log.epochs[epoch - 1]))
        for log in study.trials.values()
        if len(log.epochs) >= epoch
    ]


def _signed(study: Ledger, epoch: Epoch) -> float:
    return study.objective.signed(study.objective.score(epoch.metrics))


def _ended_at(log: TrialLog, rung: int) -> bool:
    return log.state.is_finished() and len(log.epochs) == rung


def _ended_before(log: TrialLog, rung: int) -> bool:
    return log.state.is_finished() and len(log.epochs) < rung
