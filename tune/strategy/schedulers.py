"""Which trials go on after an epoch, as a function of the study alone.

To add a scheduler, register one more class here. It is asked after each epoch, and keeps nothing
of its own: so it decides the same after a kill, and on curves that were recorded elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from optuna.pruners import BasePruner, MedianPruner

from tune.config.registries import SCHEDULERS
from tune.config.schema import SearchConfig
from tune.config.sections import SchedulerConfig
from tune.config.walk import possible
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialLog


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

    def wants(self, study: Ledger, trial: TrialLog) -> bool:
        """Whether a trial that was planned is still worth its time; else it ends unrun."""
        return True

    def next_paused(self, study: Ledger) -> TrialLog | None:
        """A paused trial that is to go on before any other begins, if there is one.

        It is asked whenever there is room for a trial. What it never names is stopped when there
        is nothing else left to run.
        """
        return None


@SCHEDULERS.register("asha")
class Asha(Scheduler):
    """Asynchronous successive halving (Li et al. 2020), as Ray Tune has it.

    A trial that reaches a rung goes on unless it is below the quantile of those that were there
    before it, of which one in `reduction_factor` is above.
    """

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Stop a trial that is among the weaker ones at a rung."""
        rung = len(trial.epochs) + 1
        if rung not in rungs(self.config, self.longest):
            return Decision.GO_ON
        before = [value for _, value in scores_at(study, rung)]
        share = 1 - 1 / self.config.reduction_factor
        if before and _signed(study, epoch) < np.nanpercentile(before, 100 * share):
            return Decision.STOP
        return Decision.GO_ON


@SCHEDULERS.register("halving")
class Halving(Scheduler):
    """Successive halving (Jamieson & Talwalkar 2016): all trials pause at a rung, the best go on.

    Once every trial that can come to a rung is there, one in `reduction_factor` goes on to the
    next, from its checkpoint.
    """

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Pause at each rung."""
        at_rung = len(trial.epochs) + 1 in rungs(self.config, self.longest)
        return Decision.PAUSE if at_rung else Decision.GO_ON

    def next_paused(self, study: Ledger) -> TrialLog | None:
        """The best of those that wait at the lowest rung from which there are any left to go on."""
        waiting = {log.number for log in study.paused}
        candidates, expected = set(study.trials), study.asked
        for rung in rungs(self.config, self.longest):
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
def median(config: SchedulerConfig, longest: int) -> Scheduler:
    """Stops a trial whose best is below the median of the others' at its epoch (Golovin 2017)."""
    pruner = MedianPruner(n_startup_trials=4, n_warmup_steps=config.grace_epochs)
    return Pruned(config, longest, pruner)


_BY_RUNGS: Final = ("asha", "halving")
"""The schedulers that let one trial in `reduction_factor` go on from each rung."""


def next_trial(study: Ledger, scheduler: Scheduler) -> TrialLog | None:
    """The trial to run next: one that was paused and may go on, or the ledger's next; or none."""
    paused = scheduler.next_paused(study)
    if paused is not None:
        return study.go_on(paused.number)
    return study.begin() if study.has_more() else None


def build_scheduler(config: SearchConfig) -> Scheduler:
    """The scheduler of a search; of one whose trials are too short for a rung, `fifo`."""
    longest = longest_trial(config)
    make: Callable[[SchedulerConfig, int], Scheduler] = SCHEDULERS[config.scheduler.name]
    if longest <= config.scheduler.grace_epochs:
        make = Scheduler
    return make(config.scheduler, longest)


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
    trials, longest = config.num_trials, longest_trial(config)
    if config.scheduler.name not in _BY_RUNGS or longest <= config.scheduler.grace_epochs:
        return [(longest, trials)]
    ends, found = [*rungs(config.scheduler, longest), longest], []
    for epochs in ends:
        found.append((epochs, trials))
        trials = max(1, int(trials / config.scheduler.reduction_factor))
    return found


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
