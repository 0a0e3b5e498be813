"""How long the trials of a search will still take, by what they have reported so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Final

from tune.strategy.budget import usual_epoch
from tune.strategy.schedulers import Scheduler
from tune.study.ledger import Ledger
from tune.study.trial import TrialLog, TrialState

PRIOR_TRIALS: Final = 8.0
"""How many trials the scheduler's own share weighs as much as, beside those that were observed: of
the first ones that come to a rung, more go on than of those that follow."""


def remaining_seconds(study: Ledger, scheduler: Scheduler, concurrent: int) -> float | None:
    """The seconds until the last trial ends, as it is to be expected; None before an epoch.

    A running trial is expected to go on as far as others did that came as far as it, in epochs as
    long as its own; one that has not started, as far as all others, in epochs of the mean length.

    Args:
        study: All trials so far.
        scheduler: What stops trials.
        concurrent: How many trials run at once.
    """
    logs = list(study.trials.values())
    trained = [log for log in logs if log.epochs]
    if not trained:
        return None
    course = _Course(scheduler, trained)
    seconds = [epoch.metrics["epoch_seconds"] for log in trained for epoch in log.epochs]
    usual, start = mean(seconds), _start_seconds(trained)
    new = start + usual * course.expected(0)
    running = [_rest(log, course, usual, start) for log in logs if not log.state.is_finished()]
    waiting = 0 if scheduler.has_enough(study) else max(0, study.asked - len(logs))
    total = sum(running) + new * waiting
    # In the end, workers wait for the one that began last.
    alone = (concurrent - 1) / 2 * new if total > new else 0.0
    return max((total + alone) / concurrent, *running, 0.0) if running else total / concurrent


class _Course:
    """How many epochs a trial is to be expected to train.

    Args:
        scheduler: Says by itself which share of trials goes on from an epoch.
        logs: The trials that have reported epochs.
    """

    def __init__(self, scheduler: Scheduler, logs: Sequence[TrialLog]) -> None:
        epochs = range(1, scheduler.longest)
        self._longest = scheduler.longest
        self._stands = [_Stand.at(epoch, scheduler.expected_share(epoch), logs) for epoch in epochs]

    def expected(self, trained: int, *, paused: bool = False) -> float:
        """The further epochs of a trial that is running after so many, or that is paused."""
        further = reached = 1.0 if trained < self._longest else 0.0
        if paused and reached:
            further = reached = self._stands[trained - 1].paused_share
        for stand in self._stands[trained:]:
            reached *= stand.share
            further += reached
        return further


@dataclass(frozen=True)
class _Stand:
    """What became of the trials that reached an epoch.

    Attributes:
        prior: The share of them that the scheduler is to be expected to let go on.
        went_on: How many have.
        stopped: How many were stopped.
        paused: How many wait.
    """

    prior: float
    went_on: int
    stopped: int
    paused: int

    @classmethod
    def at(cls, epoch: int, prior: float, logs: Sequence[TrialLog]) -> _Stand:
        there = [log for log in logs if len(log.epochs) == epoch]
        went_on = sum(len(log.epochs) > epoch for log in logs)
        paused = sum(log.is_paused for log in there)
        return cls(prior, went_on, sum(map(_was_stopped, there)), paused)

    @property
    def share(self) -> float:
        """The share that goes on of those that come there."""
        seen = self.went_on + self.stopped
        return (self.went_on + PRIOR_TRIALS * self.prior) / (seen + PRIOR_TRIALS)

    @property
    def paused_share(self) -> float:
        """The share that goes on of those that wait: what is left of the scheduler's share."""
        there = self.went_on + self.stopped + self.paused
        left = self.prior * there - self.went_on
        return min(1.0, max(0.0, left / self.paused))


def _rest(log: TrialLog, course: _Course, usual: float, start: float) -> float:
    """The seconds that a running trial is expected to take from its last epoch on."""
    if not log.epochs:
        return start + usual * course.expected(0)
    further = course.expected(len(log.epochs), paused=log.is_paused)
    return usual_epoch([log]) * further


def _was_stopped(log: TrialLog) -> bool:
    return log.state is TrialState.PRUNED and not log.cut_short


def _start_seconds(logs: Iterable[TrialLog]) -> float:
    """The seconds from a trial's start to its first epoch's, by the median."""
    waited = [
        (log.epochs[0].at - log.started) / 1000 - log.epochs[0].metrics["epoch_seconds"]
        for log in logs
    ]
    return max(0.0, median(waited))
