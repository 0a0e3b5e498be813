"""How long the trials of a search will still take, by what they have reported so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from tune.strategy.budget import usual_epoch
from tune.strategy.schedulers import Scheduler
from tune.study.ledger import Ledger
from tune.study.trial import TrialLog, TrialState

PRIOR_TRIALS = 16.0
"""How many trials the scheduler's own share weighs as much as, beside those that were observed: of
the first ones that come to a rung, more go on than of those that follow."""


def remaining_seconds(study: Ledger, scheduler: Scheduler, concurrent: int) -> float | None:
    """The seconds until the last trial ends, as it is to be expected; None before an epoch.

    A running trial is expected to go on as far as others did that came as far as it, in epochs as
    long as its own; one that has not started, as far as all others, in epochs of the mean length.

    Args:
        study: All trials so far. Another thread may change them meanwhile.
        scheduler: What stops trials.
        concurrent: How many trials run at once.
    """
    logs = list(study.trials.values())
    trained = [log for log in logs if log.epochs]
    if not trained:
        return None
    course = Course(scheduler, trained)
    seconds = [epoch.metrics["epoch_seconds"] for log in trained for epoch in log.epochs]
    usual, start = mean(seconds), _start_seconds(trained)
    new = start + usual * course.expected(0, scheduler.longest)
    running = [
        _rest(log, course, usual, start, _own_epochs(log, scheduler.longest))
        for log in logs
        if not log.state.is_finished()
    ]
    waiting = 0 if scheduler.has_enough(study) else max(0, study.asked - len(logs))
    total = sum(running) + new * waiting
    # In the end, workers wait for the one that began last.
    alone = (concurrent - 1) / 2 * new if waiting else 0.0
    return max((total + alone) / concurrent, *running, 0.0) if running else total / concurrent


class Course:
    """How many epochs a trial is to be expected to train.

    Args:
        scheduler: Says by itself which share of trials goes on from an epoch.
        logs: The trials that have reported epochs.
    """

    def __init__(self, scheduler: Scheduler, logs: Sequence[TrialLog]) -> None:
        logs = [log for log in logs if log.number >= scheduler.unjudged]
        reached = Counter(len(log.epochs) for log in logs)
        ended = Counter(len(log.epochs) for log in logs if _has_ended(log))
        paused = Counter(len(log.epochs) for log in logs if log.is_paused)
        self._stands, beyond = list[_Stand](), len(logs)
        for epoch in range(1, scheduler.longest):
            beyond -= reached[epoch]
            prior = scheduler.expected_share(epoch)
            self._stands.append(_Stand(prior, beyond, ended[epoch], paused[epoch]))

    def expected(self, trained: int, own: int, *, paused: bool = False) -> float:
        """The further epochs of a trial that is running after so many, or that is paused.

        Args:
            trained: How many epochs it has.
            own: How many it has at the end if nothing stops it.
            paused: Whether it is paused.
        """
        if trained >= own:
            return 0.0
        further = reached = self._stands[trained - 1].paused_share if paused else 1.0
        for stand in self._stands[trained : own - 1]:
            reached *= stand.share
            further += reached
        return further


@dataclass(frozen=True)
class _Stand:
    """What became of the trials that reached an epoch.

    Attributes:
        prior: The share of them that the scheduler is to be expected to let go on.
        went_on: How many have.
        ended: How many were stopped there, or ended themselves.
        paused: How many wait.
    """

    prior: float
    went_on: int
    ended: int
    paused: int

    @property
    def share(self) -> float:
        """The share that goes on of those that come there."""
        seen = self.went_on + self.ended
        return (self.went_on + PRIOR_TRIALS * self.prior) / (seen + PRIOR_TRIALS)

    @property
    def paused_share(self) -> float:
        """The share that goes on of those that wait: what is left of the scheduler's share."""
        there = self.went_on + self.ended + self.paused
        left = self.prior * there - self.went_on
        return min(1.0, max(0.0, left / self.paused)) if self.paused else self.prior


def _rest(log: TrialLog, course: Course, usual: float, start: float, own: int) -> float:
    """The seconds that a running trial is expected to take from its last epoch on."""
    trained = len(log.epochs)
    if not trained:
        return start + usual * course.expected(0, own)
    return usual_epoch([log]) * course.expected(trained, own, paused=log.is_paused)


def _own_epochs(log: TrialLog, longest: int) -> int:
    """The epochs of a trial that nothing stops."""
    own = (log.params.get("train.epochs"), log.params.get("train.stop_after"))
    return min([longest, *(int(each) for each in own if each is not None)])


def _has_ended(log: TrialLog) -> bool:
    """Whether a trial will have no more epochs, for other reasons than a fault or the time."""
    return log.state in (TrialState.PRUNED, TrialState.COMPLETE) and not log.cut_short


def _start_seconds(logs: Iterable[TrialLog]) -> float:
    """The seconds from a trial's start to its first epoch's.

    The least of them: one that was killed before its first epoch waited for the next run.
    """
    waited = (
        (log.epochs[0].at - log.started) / 1000 - log.epochs[0].metrics["epoch_seconds"]
        for log in logs
    )
    return max(0.0, min(waited))
