"""The finalists again, over seeds: the best of many noisy scores is partly luck."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any, Final

from optuna.trial import TrialState

from tune.config.schema import BudgetConfig, SamplerConfig, SchedulerConfig, SearchConfig
from tune.config.space import Choices
from tune.study.trial import TrialLog

_SEED: Final = "train.seed"


@dataclass(frozen=True)
class Finalist:
    """A trial of the search, and what became of it under other seeds.

    Attributes:
        trial: Of the search.
        runs: The same under other seeds, those that completed.
    """

    trial: TrialLog
    runs: Sequence[TrialLog] = ()

    @property
    def mean(self) -> float:
        """Of the scores under other seeds: the search has not chosen among these."""
        return mean(self._scores())

    @property
    def spread(self) -> float:
        """Standard deviation of the scores under other seeds; 0 of a single one."""
        scores = self._scores()
        return stdev(scores) if len(scores) > 1 else 0.0

    @property
    def rank(self) -> tuple[float, float, int]:
        """What makes it better than another: mean accuracy, mean loss, its first rank."""
        runs = self.runs or [self.trial]
        loss = mean(run.best_epoch.metrics["val_loss"] for run in runs)
        return self.mean, -loss, -self.trial.number

    @property
    def best_run(self) -> TrialLog | None:
        """The run whose best epoch is the best of all; None where it is the search's trial."""
        best = max((self.trial, *self.runs), key=lambda run: run.best_epoch.rank)
        return None if best is self.trial else best

    def _scores(self) -> list[float]:
        return [run.best_epoch.metrics["val_acc"] for run in self.runs or [self.trial]]


def finalists(trials: Iterable[TrialLog], count: int) -> list[TrialLog]:
    """The best completed trials, the best first; among equals of lower loss, then the first."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    ranked = sorted(complete, key=lambda trial: (trial.best_epoch.rank, -trial.number))
    return ranked[::-1][:count]


def confirmation(config: SearchConfig, chosen: Sequence[TrialLog]) -> SearchConfig:
    """What runs the finalists again: a search that only has points to try.

    Args:
        config: Of the search.
        chosen: Its finalists. The points are each of them under every seed, one after the other.
    """
    own = config.train.seed
    seeds = tuple(seed for seed in range(config.confirm.seeds + 1) if seed != own)
    seeds = seeds[: config.confirm.seeds]
    points = tuple({**trial.params, _SEED: seed} for trial in chosen for seed in seeds)
    return config.model_copy(
        update={
            "space": {**config.space, _SEED: Choices(choices=seeds)},
            "sampler": SamplerConfig(name="random", points=points),
            "scheduler": SchedulerConfig(name="fifo"),
            "budget": BudgetConfig(
                num_samples=len(points), max_failures=config.budget.max_failures
            ),
        }
    )


def study_of(search: str) -> str:
    """Name of a confirmation's study, which no search can have."""
    return f"{search}/confirm"


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
