"""Which trials go on after an epoch, as a function of the study alone.

To add a scheduler, register one more class here. It is asked after each epoch, and keeps nothing
of its own: so it decides the same after a kill, and on curves that were recorded elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from optuna.pruners import BasePruner, MedianPruner

from tune.config.registries import SCHEDULERS
from tune.config.schema import SearchConfig
from tune.config.sections import SchedulerConfig
from tune.config.walk import possible
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialLog, TrialState


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


class Pruned(Scheduler):
    """Stops what a pruner of Optuna's would prune."""

    def __init__(self, config: SchedulerConfig, longest: int, pruner: BasePruner) -> None:
        super().__init__(config, longest)
        self._pruner = pruner

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Ask the pruner, once Optuna knows the epoch's value."""
        value = study.objective.score(epoch.metrics)
        frozen = study.report(trial.number, len(trial.epochs) + 1, value)
        return Decision.STOP if self._pruner.prune(study.study, frozen) else Decision.GO_ON


@SCHEDULERS.register("median")
class Median(Pruned):
    """Stops a trial whose best is below the median of the others' at its epoch (Golovin 2017)."""

    def __init__(self, config: SchedulerConfig, longest: int) -> None:
        pruner = MedianPruner(n_startup_trials=4, n_warmup_steps=config.grace_epochs)
        super().__init__(config, longest, pruner)

    def expected_share(self, epoch: int) -> float:
        """Half of them at the first epoch at which any are stopped."""
        return 0.5 if epoch == self.config.grace_epochs else 1.0


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
    return int(max(possible(config.space, config.own, "train.epochs")))


def rungs(config: SchedulerConfig, longest: int) -> list[int]:
    """The epochs at which trials are compared, in order: the last is before the end."""
    grace, factor = config.grace_epochs, config.reduction_factor
    count = int(np.log(longest / grace) / np.log(factor) + 1)
    found = sorted({math.ceil(grace * factor**power) for power in range(count)})
    return [rung for rung in found if rung < longest]


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
