"""An Optuna study as a Ray searcher. The study's storage is the truth about the search.

Ray's own OptunaSearch tells stopped trials as complete; this one tells each trial as
what it is: COMPLETE with its best epoch's value, PRUNED with its last, FAIL without any.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import Trial, TrialState
from ray.tune.search import Searcher
from sqlalchemy.exc import SQLAlchemyError

from trainable.ray_trainable import TrialSpec
from tune.cluster import DriverOnly
from tune.config import SamplerConfig, SearchConfig
from tune.loading import ConfigError
from tune.space import distributions, first_points

METRIC: Final = "val_acc"
MODE: Final = "max"


def create_study(config: SearchConfig, name: str, storage: str) -> Study:
    """A new study, which first proposes what the search is to try first.

    Args:
        config: The search.
        name: Of the study, unique in its storage.
        storage: URL of Optuna's storage.

    Raises:
        ConfigError: The name is taken, or the storage cannot be used.
    """
    try:
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=_sampler(config.sampler),
            direction="maximize",
        )
    except DuplicatedStudyError as error:
        raise ConfigError(
            f"--name {name}: there is a search of this name; choose another"
        ) from error
    except (SQLAlchemyError, StorageInternalError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"tracking.study={storage} cannot be used: {reason}") from error
    for point in first_points(config):
        study.enqueue_trial(point)
    return study


def _sampler(config: SamplerConfig) -> BaseSampler:
    if config.name == "random":
        return RandomSampler(seed=config.seed)
    return TPESampler(seed=config.seed, n_startup_trials=config.startup_trials)


def final_state(result: Mapping[str, Any] | None, error: bool = False) -> TrialState:
    """What became of a trial that ended with `result`."""
    if error or not result:
        return TrialState.FAIL
    return TrialState.COMPLETE if result.get("finished") else TrialState.PRUNED


class StudySearcher(DriverOnly, Searcher):
    """Proposes trials from a study and tells it what became of them.

    Args:
        study: Open for asking.
        config: The search; its base gives every value that is not searched.
        home: Folder of the search, in which each trial has one.
        memory_fraction: Share of a GPU's memory that a trial may take.
    """

    def __init__(
        self,
        study: Study,
        config: SearchConfig,
        home: Path,
        memory_fraction: float | None = None,
    ) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self._study, self._config, self._home = study, config, home
        self._distributions = distributions(config)
        self._memory_fraction = memory_fraction
        self._open: dict[str, Trial] = {}
        self._best: dict[str, float] = {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next trial, as Ray passes it to the trainable."""
        trial = self._study.ask(self._distributions)
        trial.set_user_attr("ray_trial_id", trial_id)
        self._open[trial_id] = trial
        config, cache = self._config.trial(trial.params), self._config.cache
        return dict(
            TrialSpec(
                number=trial.number,
                trial=config.model_dump(mode="json"),
                folder=str(self._home / f"trial-{trial.number:03d}"),
                threads=self._config.resources.threads,
                memory_fraction=self._memory_fraction,
                cache_root=None if cache.root is None else str(cache.root.resolve()),
                cache_bytes=cache.max_bytes,
            )
        )

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an epoch."""
        self._report(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell what became of a trial."""
        state = final_state(result, error)
        if result and state is not TrialState.FAIL:
            self._report(trial_id, result)
        trial, best = self._open.pop(trial_id), self._best.pop(trial_id, None)
        value = best if state is TrialState.COMPLETE else None
        self._study.tell(trial, value, state=state)

    def close(self) -> None:
        """Tell trials that an interrupted search has left open: they failed."""
        for trial in self._open.values():
            self._study.tell(trial, state=TrialState.FAIL)
        self._open.clear()

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study's storage holds all there is."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore, for the same reason."""

    def _report(self, trial_id: str, result: Mapping[str, Any]) -> None:
        value = result[METRIC]
        self._open[trial_id].report(value, step=result["epoch"])
        self._best[trial_id] = max(value, self._best.get(trial_id, value))
