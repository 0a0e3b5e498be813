"""The scheduler of a search: which one it is, and which trial runs next by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tune.config.registries import SCHEDULERS
from tune.config.schema import SearchConfig
from tune.config.sections import SchedulerConfig
from tune.config.walk import possible
from tune.strategy.schedulers import Scheduler
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialLog, TrialState

_LENGTHS: Final = ("epochs", "stop_after")
"""Keys of `train` that say how long a trial is."""


class UntilTarget(Scheduler):
    """Another scheduler, until a trial reaches the target: that one goes on, and nothing else does.

    Args:
        other: The other scheduler.
        config: The search's, with a target.
    """

    def __init__(self, other: Scheduler, config: SearchConfig) -> None:
        super().__init__(other.config, other.longest)
        assert config.budget.target is not None
        self._other, self._target = other, config.budget.target

    def reached(self, study: Ledger) -> list[TrialLog]:
        """The trials that have reached the target, and have completed or may yet."""
        able = (TrialState.RUNNING, TrialState.COMPLETE)
        logs = [log for log in list(study.trials.values()) if log.state in able]
        return [log for log in logs if log.epochs and self._is_enough(study, log.score)]

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Let a trial go on that has reached the target, and stop others once there is one."""
        best = [study.objective.score(epoch.metrics), *([trial.score] if trial.epochs else [])]
        if any(self._is_enough(study, score) for score in best):
            return Decision.GO_ON
        return Decision.STOP if self.reached(study) else self._other.decide(study, trial, epoch)

    def wants(self, study: Ledger, trial: TrialLog) -> bool:
        """Whether it may still be what is looked for."""
        reached = self.reached(study)
        return self._other.wants(study, trial) if not reached else trial in reached

    def has_enough(self, study: Ledger) -> bool:
        """Whether a trial has reached the target."""
        return bool(self.reached(study))

    def next_paused(self, study: Ledger) -> TrialLog | None:
        """What the other says; once the target is reached, a trial that has reached it."""
        reached = self.reached(study)
        if not reached:
            return self._other.next_paused(study)
        paused = {log.number for log in study.paused}  # since before there was a target
        return next((log for log in reached if log.number in paused), None)

    def expected_share(self, epoch: int) -> float:
        """What the other scheduler says."""
        return self._other.expected_share(epoch)

    @property
    def unjudged(self) -> int:
        """What the other scheduler says."""
        return self._other.unjudged

    def _is_enough(self, study: Ledger, score: float | None) -> bool:
        objective = study.objective
        return score is not None and objective.signed(score) >= objective.signed(self._target)


def next_trial(
    study: Ledger, scheduler: Scheduler, ended: Callable[[TrialLog], None] | None = None
) -> TrialLog | None:
    """The trial to run next: one that was paused and may go on, or the ledger's next; or none.

    Args:
        study: All trials so far.
        scheduler: Says which may go on; what it does not want any more ends unrun.
        ended: Called with each trial that ends so.
    """
    while (log := _next_trial(study, scheduler)) is not None:
        if scheduler.wants(study, log):
            return log
        study.end(log.number, TrialState.PRUNED)
        if ended is not None:
            ended(log)
    return None


def _next_trial(study: Ledger, scheduler: Scheduler) -> TrialLog | None:
    paused = scheduler.next_paused(study)
    if paused is not None:
        return study.go_on(paused.number)
    return study.begin() if study.has_more(new=not scheduler.has_enough(study)) else None


def build_scheduler(config: SearchConfig) -> Scheduler:
    """The scheduler of a search; of one whose trials are too short for a rung, `fifo`."""
    longest = longest_trial(config)
    make: Callable[[SchedulerConfig, int], Scheduler] = SCHEDULERS[config.scheduler.name]
    if longest <= config.scheduler.grace_epochs:
        make = Scheduler
    scheduler = make(config.scheduler, longest)
    return scheduler if config.budget.target is None else UntilTarget(scheduler, config)


def run_all(config: SearchConfig) -> Scheduler:
    """A scheduler that stops nothing, whatever the config says."""
    return Scheduler(config.scheduler, longest_trial(config))


def longest_trial(config: SearchConfig) -> int:
    """The epochs of the longest trial in the space."""
    epochs, stops = (possible(config.space, config.own, f"train.{key}") for key in _LENGTHS)
    return int(max(epochs) if None in stops else min(max(epochs), max(stops)))


def course(config: SearchConfig) -> list[tuple[int, int]]:
    """How many trials train how many epochs, as it is to be expected before any has run.

    Returns:
        Epochs and trials, the fewest epochs first; a scheduler without rungs has all trials train
        all epochs, as far as one can tell.
    """
    scheduler, trials, found = build_scheduler(config), config.num_trials, []
    for epoch in range(1, scheduler.longest):
        share = scheduler.expected_share(epoch)
        if share < 1:
            found.append((epoch, trials))
            trials = max(1, int(trials * share))
    return [*found, (scheduler.longest, trials)]
