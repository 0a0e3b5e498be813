"""Who is stopped early: ASHA, or nobody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from tune.config.schema import SearchConfig
from tune.config.space import Range
from tune.engine.cluster import DriverOnly
from tune.study.ledger import Ledger
from tune.study.trial import METRIC, MODE


def build_scheduler(ledger: Ledger) -> TrialScheduler:
    """Ray's scheduler for a search. Trials that stand best at a rung go on to the next."""
    config, scheduler = ledger.config, ledger.config.scheduler
    longest = longest_trial(config)
    if scheduler.name == "fifo" or longest <= scheduler.grace_epochs:
        return FIFOScheduler()
    return LedgerASHA(
        ledger,
        time_attr="epoch",
        metric=METRIC,
        mode=MODE,
        max_t=longest,
        grace_period=scheduler.grace_epochs,
        reduction_factor=scheduler.reduction_factor,
    )


def longest_trial(config: SearchConfig) -> int:
    """Epochs of the longest trial in the space."""
    searched = config.space.get("train.epochs")
    if searched is None:
        return config.train.epochs
    ends = [searched.high] if isinstance(searched, Range) else searched.choices
    return max(int(end) for end in ends)


class LedgerASHA(DriverOnly, ASHAScheduler):
    """Ray's ASHA, whose rungs are those of all the search's trials, this run's or not.

    Ray keeps the rungs in the process (and not in its snapshots), under ids that are new in each
    run. Here they go by the trials' numbers, and what the ledger holds is told to ASHA again.

    Args:
        ledger: Of the search.
        options: Of :class:`ASHAScheduler`.
    """

    def __init__(self, ledger: Ledger, **options: Any) -> None:
        super().__init__(**options)
        self._ledger = ledger
        for log in ledger.trials.values():
            trial = _by_number(log.number)
            super().on_trial_add(None, trial)
            for epoch, told in enumerate(log.epochs, 1):
                super().on_trial_result(None, trial, {"epoch": epoch, METRIC: told.metrics[METRIC]})

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial begins, or goes on."""
        super().on_trial_add(tune_controller, _by_number(trial.config["number"]))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on: decided once, and the same when it is asked again."""
        number = trial.config["number"]
        stopped = self._ledger.decision(number, result["epoch"])
        if stopped is not None:
            return TrialScheduler.STOP if stopped else TrialScheduler.CONTINUE
        return super().on_trial_result(tune_controller, _by_number(number), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has ended."""
        super().on_trial_complete(tune_controller, _by_number(trial.config["number"]), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """A trial will not run."""
        super().on_trial_remove(tune_controller, _by_number(trial.config["number"]))


def _by_number(number: int) -> SimpleNamespace:
    """All that ASHA looks at of a trial."""
    return SimpleNamespace(trial_id=str(number))
