"""The finalists under other seeds: the best of many noisy scores is partly luck."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any, Final

from optuna.samplers import RandomSampler

from tune.config.space import Choices
from tune.errors import ConfigError
from tune.study.ledger import Ledger
from tune.study.opening import open_ledger, read_ledger, reopen_cut_short
from tune.study.plan import Plan
from tune.study.search import Search
from tune.study.storage import PATIENCE, patiently
from tune.study.trial import TrialLog, TrialState

_SEED: Final = "train.seed"


@dataclass(frozen=True)
class Finalist:
    """A trial of the search, and what became of it under other seeds.

    Attributes:
        trial: The search's trial.
        runs: The same under other seeds, those that completed.
    """

    trial: TrialLog
    runs: Sequence[TrialLog] = ()

    @property
    def mean(self) -> float:
        """The mean of the scores under other seeds: the search has not chosen among these.

        Each is that of the epoch that the search chose: the best of each run's epochs would be
        partly luck again.
        """
        return mean(self.scores)

    @property
    def spread(self) -> float:
        """The standard deviation of the scores under other seeds; 0 of a single one."""
        return stdev(self.scores) if len(self.scores) > 1 else 0.0

    @property
    def rank(self) -> tuple[float, float, int]:
        """What makes it better than another: mean score, mean loss, its first rank."""
        loss = mean(epoch["val_loss"] for epoch in self._epochs())
        return self.trial.objective.signed(self.mean), -loss, -self.trial.number

    @property
    def best_run(self) -> TrialLog | None:
        """The run whose best epoch is the best of all; None where it is the search's trial."""
        best = max((self.trial, *self.runs), key=lambda run: run.rank)
        return None if best is self.trial else best

    @property
    def scores(self) -> list[float]:
        """The score of each run under another seed; without one, that of the search."""
        return [self.trial.objective.score(epoch) for epoch in self._epochs()]

    def _epochs(self) -> list[dict[str, float]]:
        """The metrics of each run at the epoch that the search chose, or at its last before it."""
        epoch = self.trial.best
        assert epoch is not None
        return [run.epochs[:epoch][-1].metrics for run in self.runs or [self.trial]]


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
    """What runs the finalists under other seeds: each under every seed, one after the other."""
    config = search.config
    own = config.train.seed
    seeds = tuple(seed for seed in range(config.confirm.seeds + 1) if seed != own)
    seeds = seeds[: config.confirm.seeds]
    return Plan(
        kind="confirm",
        study=f"{search.name}/confirm",  # which no search can be called
        space={**config.space, _SEED: Choices(choices=seeds)},
        points=[{**trial.params, _SEED: seed} for trial in chosen for seed in seeds],
        sampler=RandomSampler(),  # never asked: every trial is a point
    )


def open_confirmation(search: Search, chosen: Sequence[TrialLog]) -> Ledger | None:
    """The ledger of the finalists' runs under other seeds, if there are to be any.

    What was cut short of them goes on. The search has run by now: its storage is waited for.

    Raises:
        Halt: The storage is full, or has been away for too long.
    """
    if search.config.confirm.top_k == 0 or not chosen:
        return None
    plan = confirmation_plan(search, chosen)

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
    """The finalists by their mean score over seeds, the best first.

    Args:
        chosen: The finalists.
        runs: The trials of the confirmation; also of former finalists, of a search that grew.
    """
    complete = [run for run in runs if run.state is TrialState.COMPLETE]
    found = [
        Finalist(trial, [run for run in complete if _but_seed(run) == _but_seed(trial)])
        for trial in chosen
    ]
    confirmed = [finalist for finalist in found if finalist.runs]
    # One whose every seed failed was lucky indeed, and is not taken if there is another.
    return sorted(confirmed or found, key=lambda finalist: finalist.rank, reverse=True)


def _but_seed(log: TrialLog) -> Mapping[str, Any]:
    return {key: value for key, value in log.params.items() if key != _SEED}
