"""The finalists again, under other seeds or on folds: the best of many scores is partly luck."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any, Final

from optuna.samplers import RandomSampler

from tune.base.errors import ConfigError
from tune.config.schema import SearchConfig
from tune.config.space import Choices
from tune.strategy.folds import FOLD, StopLosers, fold_names, has_lost, scores_by_fold
from tune.study.ledger import Ledger
from tune.study.opening import open_ledger, read_ledger, reopen_cut_short
from tune.study.plan import Plan
from tune.study.search import Search
from tune.study.storage import PATIENCE, patiently
from tune.study.trial import TrialLog, TrialState

_SEED: Final = "train.seed"


@dataclass(frozen=True)
class Finalist:
    """A trial of the search, and what became of it under other seeds or on folds.

    Attributes:
        trial: The search's trial.
        runs: The same under other seeds or on folds, those that completed.
        shared: Those of them by which it is compared with the others; none is by its trial.
        has_lost: Whether it was stopped, on folds, since it had clearly lost.
    """

    trial: TrialLog
    runs: Sequence[TrialLog] = ()
    shared: Sequence[TrialLog] = ()
    has_lost: bool = False

    @property
    def mean(self) -> float:
        """The mean of its runs' scores.

        The search has not chosen among these, but for folds: some of their validation images are
        those by which it chose. Each is that of the epoch that the search chose: the best of each
        run's epochs would be partly luck again.
        """
        return mean(self.scores)

    @property
    def standing(self) -> float:
        """The mean of the scores by which it is compared with the others."""
        return mean(self._scores_of(self.shared))

    @property
    def spread(self) -> float:
        """The standard deviation of its runs' scores; 0 of a single one."""
        return stdev(self.scores) if len(self.scores) > 1 else 0.0

    @property
    def is_over_folds(self) -> bool:
        """Whether its runs are on folds."""
        return any(FOLD in run.params for run in self.runs)

    @property
    def over(self) -> str:
        """What its runs are, in words: `2 other seeds`, `5 folds`."""
        one = len(self.runs) == 1
        if self.is_over_folds:
            return "1 fold" if one else f"{len(self.runs)} folds"
        return "1 other seed" if one else f"{len(self.runs)} other seeds"

    @property
    def rank(self) -> tuple[float, float, int]:
        """What makes it better than another: mean score, mean loss, its first rank."""
        objective, epochs = self.trial.objective, self._epochs(self.shared)
        means = {name: mean(each[name] for each in epochs) for name in objective.ranked_by}
        return *objective.rank(means), -self.trial.number

    @property
    def best_run(self) -> TrialLog | None:
        """The run whose best epoch is the best of all; None where it is the search's trial.

        Runs on folds are judged by other images each, and so by none that tell which is better.
        """
        if self.is_over_folds:
            return None
        best = max((self.trial, *self.runs), key=lambda run: run.rank)
        return None if best is self.trial else best

    @property
    def scores(self) -> list[float]:
        """The score of each run; without one, that of the search."""
        return self._scores_of(self.runs)

    @property
    def accuracies(self) -> list[float]:
        """The validation accuracy of each run, whatever the objective is."""
        return [epoch["val_acc"] for epoch in self._epochs(self.runs)]

    def _scores_of(self, runs: Sequence[TrialLog]) -> list[float]:
        return [self.trial.objective.score(epoch) for epoch in self._epochs(runs)]

    def _epochs(self, runs: Sequence[TrialLog]) -> list[dict[str, float]]:
        """The metrics of each run at the epoch that the search chose, or at its last before it.

        Without runs, those of the search's trial.
        """
        epoch = self.trial.best
        assert epoch is not None
        return [run.epochs[:epoch][-1].metrics for run in runs or [self.trial]]


def finalists(trials: Iterable[TrialLog], count: int, *, timed: bool = False) -> list[TrialLog]:
    """The best completed trials, the best first; among equals of lower loss, then the first.

    Args:
        trials: A search's trials.
        count: How many there are to be at most.
        timed: Whether the time may be up before any trial has completed, as with a time budget:
            then the best one that was stopped or cut short is taken.
    """
    trials = list(trials)
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if timed and not complete:
        complete = [trial for trial in trials if trial.state is TrialState.PRUNED and trial.epochs]
        count = 1
    return sorted(complete, key=lambda trial: (trial.rank, -trial.number))[::-1][:count]


def confirmation_plan(search: Search, chosen: Sequence[TrialLog]) -> Plan:
    """What runs the finalists again.

    All under a seed or on a fold, then all under the next, so that they can be compared before
    each has run under all, and where there is no time for that.
    """
    config = search.config
    key, choices, values = _varied(config, chosen)
    pairs = [(trial, value) for value in values for trial in chosen]
    return Plan(
        kind="confirm",
        study=f"{search.name}/confirm",  # which no search can be called
        space={**config.space, key: choices},
        points=[{**trial.params, key: value} for trial, value in pairs],
        sampler=RandomSampler(),  # never asked: every trial is a point
    )


def _varied(
    config: SearchConfig, chosen: Sequence[TrialLog]
) -> tuple[str, Choices, tuple[int | str, ...]]:
    """The key that a finalist's runs differ by, what it may be, and what it is for these.

    Of seeds, those that none of them had. What it may be is the same for whichever finalists.
    """
    confirm = config.confirm
    if confirm.over_folds:
        names = fold_names(confirm.runs)
        return FOLD, Choices(choices=names), names
    own = {config.train.seed, *(trial.params.get(_SEED) for trial in chosen)}
    searched = _SEED in config.space
    numbers = range(confirm.seeds + 1 + (confirm.top_k if searched else 0))
    others = [seed for seed in numbers if seed not in own][: confirm.seeds]
    return _SEED, Choices(choices=tuple(numbers if searched else others)), tuple(others)


def open_confirmation(search: Search, chosen: Sequence[TrialLog]) -> Ledger | None:
    """The ledger of the finalists' runs, if there are to be any.

    What was cut short of them goes on. The search has run by now: its storage is waited for.

    Raises:
        Halt: The storage is full, or has been away for too long.
    """
    if search.config.confirm.top_k == 0 or not chosen:
        return None
    return reopened(search, confirmation_plan(search, chosen))


def reopened(search: Search, plan: Plan) -> Ledger:
    """The ledger of what follows the trials, in which what was cut short goes on.

    Raises:
        Halt: The storage is full, or has been away for too long.
    """

    def find() -> Ledger:
        reopen_cut_short(search, plan.study)
        return open_ledger(search, plan)

    return patiently(find, PATIENCE)


def read_confirmation(search: Search, chosen: Sequence[TrialLog]) -> Ledger | None:
    """The same to be looked at; None also where the search is not that far."""
    if search.config.confirm.top_k == 0 or not chosen:
        return None
    try:
        return read_ledger(search.config, confirmation_plan(search, chosen))
    except ConfigError:
        return None


def ranked(chosen: Sequence[TrialLog], runs: Iterable[TrialLog]) -> list[Finalist]:
    """The finalists by their mean score, the best first; those that clearly lost on folds last.

    The mean is over the seeds, or the folds, that all have completed: one over others is of other
    images, or of more luck. (Where they have none in common, it is over all that each has.) One
    that there was no time to run again has its place by the search's own scores.

    Args:
        chosen: The finalists.
        runs: The trials of the confirmation; also of former finalists, of a search that grew.
    """
    runs = list(runs)
    complete = [run for run in runs if run.state is TrialState.COMPLETE]
    found = [Finalist(trial, _runs_of(trial, complete)) for trial in chosen]
    # One whose every run failed was lucky indeed, and is not taken if there is another.
    able = [one for one in found if one.runs or not _has_failed(one.trial, runs)] or found
    lost = _lost(able, runs)
    rivals = [one for one in able if id(one) not in lost]
    shared = _shared(rivals)
    order = _by_rank(
        replace(one, shared=[run for run in one.runs if _value(run) in shared])
        for one in rivals
        if one.runs
    )
    for one in _by_rank(one for one in rivals if not one.runs):
        beaten = (place for place, each in enumerate(order) if _first_rank(each) < _first_rank(one))
        order.insert(next(beaten, len(order)), one)
    losers = (replace(one, shared=one.runs, has_lost=True) for one in able if id(one) in lost)
    return [*order, *_by_rank(losers)]


def _by_rank(finalists: Iterable[Finalist]) -> list[Finalist]:
    return sorted(finalists, key=lambda one: one.rank, reverse=True)


def _first_rank(finalist: Finalist) -> tuple[float, float, int]:
    """What made it better than another in the search."""
    return *finalist.trial.rank, -finalist.trial.number


def losers_stopped(config: SearchConfig, chosen: Sequence[TrialLog]) -> StopLosers:
    """A scheduler that ends a confirmation on folds for those that clearly lost."""

    def scores(study: Ledger) -> Mapping[int, Mapping[str, float]]:
        runs = list(study.trials.values())
        return {trial.number: scores_by_fold(trial, _runs_of(trial, runs)) for trial in chosen}

    def finalist_of(run: TrialLog) -> int | None:
        return next((trial.number for trial in chosen if _runs_of(trial, [run])), None)

    return StopLosers(config, scores, finalist_of)


def _lost(confirmed: Sequence[Finalist], runs: Sequence[TrialLog]) -> set[int]:
    """The ids of those that were stopped, and have clearly lost to one that is a finalist now."""
    scores = {
        id(each): scores_by_fold(each.trial, each.runs) for each in confirmed if each.is_over_folds
    }
    planned = len({run.params[FOLD] for run in runs if FOLD in run.params})
    return {
        id(each)
        for each in confirmed
        if id(each) in scores
        and _was_stopped(each.trial, runs)
        and has_lost(
            scores[id(each)], [one for key, one in scores.items() if key != id(each)], planned
        )
    }


def _was_stopped(trial: TrialLog, runs: Sequence[TrialLog]) -> bool:
    """Whether a finalist had clearly lost before it had run on all folds."""
    own = (run for run in _runs_of(trial, runs) if FOLD in run.params)
    return any(run.state is TrialState.PRUNED and not run.cut_short for run in own)


def _has_failed(trial: TrialLog, runs: Sequence[TrialLog]) -> bool:
    """Whether a run of a finalist failed by itself, rather than for want of time."""
    failed = (run for run in _runs_of(trial, runs) if run.state is TrialState.FAIL)
    return any(not run.cut_short for run in failed)


def _shared(rivals: Sequence[Finalist]) -> set[str]:
    """The seeds or folds by which rivals are compared: those that all have run under, if any."""
    each = [{_value(run) for run in one.runs} for one in rivals if one.runs]
    return (set.intersection(*each) or set.union(*each)) if each else set()


def _value(run: TrialLog) -> str:
    """What a finalist's run differs by from the others."""
    return str(run.params.get(FOLD, run.params.get(_SEED)))


def _runs_of(trial: TrialLog, runs: Iterable[TrialLog]) -> list[TrialLog]:
    """Those that differ from a trial by what confirmation varies alone."""

    def but(key: str, log: TrialLog) -> Mapping[str, Any]:
        return {name: value for name, value in log.params.items() if name != key}

    varied = ((run, FOLD if FOLD in run.params else _SEED) for run in runs)
    return [run for run, key in varied if but(key, run) == but(key, trial)]
