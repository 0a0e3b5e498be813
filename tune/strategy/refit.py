"""The winner trained again on training and validation images together."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean
from typing import Final, Literal

from optuna.samplers import RandomSampler

from trainable.base.folds import ALL
from tune.base.errors import ConfigError
from tune.config.schema import SearchConfig
from tune.config.space import Choices, Range
from tune.config.walk import possible
from tune.strategy.confirmation import Finalist, reopened
from tune.strategy.folds import FOLD, SMALL
from tune.strategy.scheduling import longest_trial
from tune.study.ledger import Ledger, Ledgers
from tune.study.opening import read_ledger
from tune.study.plan import Plan
from tune.study.search import Search
from tune.study.trial import TrialLog, TrialState

_STOP: Final = "train.stop_after"
_ANNEALED: Final = ("one_cycle", "cosine")
"""Schedules at whose end the learning rate is nothing."""


def decided(config: SearchConfig, folds: int, validated: int) -> bool | Literal["auto"]:
    """Whether the winner is trained again, as far as that is known before the first trial.

    Args:
        config: The search's.
        folds: How many the finalists run on. Of many images, `auto` waits for what comes of these.
        validated: The number of validation images.
    """
    asked = config.refit.enabled
    if asked != "auto":
        return asked
    schedules = possible(config.space, config.own, "schedule.name")
    if validated < SMALL and config.data.fold is None and "plateau" not in schedules:
        return True
    return "auto" if folds else False


def is_refitted(config: SearchConfig, winner: Finalist) -> bool:
    """Whether a winner is to be trained again.

    With `auto` it is where finalists run on folds, whether or not there was time for this one, or
    where the validation images are few (:func:`decided`): they tell little of a single model, and
    are many of all that there are.
    """
    if winner.trial.state is not TrialState.COMPLETE:
        return False
    if config.trial(winner.trial.params).schedule.name == "plateau":
        return False  # it goes by a validation loss, and there is none
    asked, confirm = config.refit.enabled, config.confirm
    on_folds = winner.is_over_folds or (confirm.over_folds and confirm.top_k > 0)
    return on_folds if asked == "auto" else asked


def chosen_epochs(config: SearchConfig, winner: Finalist) -> int:
    """For how many epochs a winner is trained again.

    All of them, where the learning rate falls to nothing at the end: weights from the middle of
    such a schedule are worse, however well they validated. Else, or where one of its runs was
    stopped early, as many as were the best for them, on average.
    """
    trial = config.trial(winner.trial.params)
    objective, runs = winner.trial.objective, winner.runs or [winner.trial]
    common = min(len(run.epochs) for run in runs)
    stopped = trial.train.early_stopping is not None and common < trial.train.last_epoch
    if trial.schedule.name in _ANNEALED and not stopped:
        return trial.train.last_epoch

    def rank(epoch: int) -> tuple[float, float]:
        each = [run.epochs[epoch].metrics for run in runs]
        means = {name: mean(one[name] for one in each) for name in objective.ranked_by}
        return objective.rank(means)

    return 1 + max(range(common), key=lambda epoch: (rank(epoch), -epoch))


def refit_plan(search: Search, winner: Finalist) -> Plan:
    """What trains a winner on all images but those of the test."""
    config = search.config
    stops = Range(low=1, high=longest_trial(config))
    return Plan(
        kind="refit",
        study=f"{search.name}/refit",  # which no search can be called
        space={**config.space, FOLD: Choices(choices=(ALL,)), _STOP: stops},
        points=[_point(config, winner)],
        sampler=RandomSampler(),  # never asked: every trial is a point
    )


def open_refit(search: Search, winner: Finalist) -> Ledger:
    """The ledger of a winner's refit; what was cut short goes on.

    Raises:
        Halt: The storage is full, or has been away for too long.
    """
    return reopened(search, refit_plan(search, winner))


def read_refit(search: Search, winner: Finalist) -> Ledger | None:
    """The same to be looked at; None where the search is not that far."""
    try:
        return read_ledger(search.config, refit_plan(search, winner))
    except ConfigError:
        return None


def refit_of(winner: Finalist, refitted: Ledger) -> TrialLog | None:
    """The run that is a winner's refit, if it has completed; a search that grew has others."""
    point, runs = _point(refitted.config, winner), list(refitted.trials.values())
    complete = (run for run in runs if run.state is TrialState.COMPLETE)
    return next((run for run in complete if run.params == point), None)


def refit_score(config: SearchConfig, winner: Finalist) -> float | None:
    """What is known of a refit: the mean of the winner's runs, at the epoch that it is trained to.

    None where there are no such runs: the search's own score is the luckiest of many.
    """
    epochs, objective = chosen_epochs(config, winner), winner.trial.objective
    if not winner.runs:
        return None
    return mean(objective.score(run.epochs[:epochs][-1].metrics) for run in winner.runs)


def why_unfitted(config: SearchConfig, winner: Finalist, ledgers: Ledgers) -> str:
    """Why there is no refit, or no confirmation, though it was asked for and started; else empty.

    What there was no time for is reported elsewhere.
    """
    _, confirmed, refitted = ledgers
    runs = [] if confirmed is None else list(confirmed.trials.values())
    if all(run.state is not TrialState.COMPLETE for run in runs) and (why := _error_of(runs)):
        where = "on folds" if config.confirm.over_folds else "under another seed"
        return f"no finalist has completed a run {where}: {why}"
    if refitted is None or not is_refitted(config, winner) or refit_of(winner, refitted):
        return ""
    point = _point(refitted.config, winner)
    why = _error_of(run for run in refitted.trials.values() if run.params == point)
    return f"the winner was not trained on all images: {why}" if why else ""


def _error_of(runs: Iterable[TrialLog]) -> str:
    """The error of the first run that failed."""
    failed = (run for run in runs if run.state is TrialState.FAIL)
    return next((run.error or "its run failed" for run in failed), "")


def _point(config: SearchConfig, winner: Finalist) -> dict[str, object]:
    return {**winner.trial.params, FOLD: ALL, _STOP: chosen_epochs(config, winner)}
