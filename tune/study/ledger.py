"""What happened in a search, trial by trial: in memory, and first in Optuna's storage.

The storage is the truth. Whatever else there is (the record in MLflow, the rungs of the
scheduler, the progress on the screen) is made of it, at the start of a search as after a kill.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import OptunaError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tune.config.schema import SearchConfig
from tune.errors import ConfigError, Halt
from tune.strategy.portfolio import first_points
from tune.strategy.samplers import RepeatableSampler
from tune.study.distributions import distributions
from tune.study.folder import HOME
from tune.study.trial import (
    ERROR,
    FACTS,
    METRIC,
    METRICS,
    Epoch,
    Kind,
    TrialLog,
    epoch_key,
    milliseconds,
)

PATIENCE: Final = 120.0
"""Seconds for which a storage that is locked or away is waited for."""

_SEARCH, _POINT = "search", "point"
_MADE_MEANWHILE: Final = re.compile(r"already exists|unique constraint|is locked", re.IGNORECASE)
_Result = TypeVar("_Result")


class Ledger:
    """The trials of a search, in a storage of Optuna's.

    Args:
        study: Of this search.
        config: The search.
        kind: What its trials are: those of the search, or of the finalists' confirmation.
        patience: Seconds for which the storage is waited for.

    Attributes:
        asked: How many trials there are to be.
        trials: By number.
    """

    def __init__(
        self,
        study: Study,
        config: SearchConfig,
        kind: Kind = "trial",
        patience: float = PATIENCE,
    ) -> None:
        self._study, self._patience = study, patience
        self.config, self.kind = config, kind
        self._distributions = distributions(config)
        self._handles: dict[int, Trial] = {}
        self.trials: dict[int, TrialLog] = {}
        # A confirmation grows with its search, by the points of those that are finalists now.
        points = len(study.get_trials(deepcopy=False))
        self.asked = points if kind == "confirm" else config.budget.num_samples
        for frozen in self._stored():
            if frozen.params.keys() == self._distributions.keys():
                self.trials[frozen.number] = TrialLog.of(frozen)

    def begin(self) -> TrialLog:
        """The next trial to run: one that was begun and has not ended, else a new one."""
        handle = self._patiently(self._next)
        number = handle.number
        self._handles[number] = handle
        if number not in self.trials:
            started = milliseconds(handle.datetime_start)
            self.trials[number] = TrialLog(number, dict(handle.params), started)
        return self.trials[number]

    def has_more(self) -> bool:
        """Whether there is a trial to begin or to go on with."""
        idle = any(log.number not in self._handles for log in self.unfinished)
        return idle or len(self.trials) < self.asked

    def release(self, number: int) -> None:
        """Let a trial go that nobody runs any more, to be begun again."""
        del self._handles[number]

    def add_epoch(
        self, number: int, epoch: int, result: Mapping[str, Any], *, stopped: bool
    ) -> None:
        """Note an epoch, unless it has been before: a trial that went on tells its last again."""
        log = self.trials[number]
        if epoch <= len(log.epochs):
            return
        assert epoch == len(log.epochs) + 1, f"trial {number} told epoch {epoch} too early"
        # A clock that is set back does not change the order.
        at = max(_now(), log.epochs[-1].at if log.epochs else 0)
        told = Epoch({name: result[name] for name in METRICS}, at, stopped)
        facts = {name: result[name] for name in FACTS}
        self._patiently(lambda: self._write_epoch(number, epoch, told, facts))
        log.facts = facts
        log.epochs.append(told)

    def end(self, number: int, state: TrialState, error: str | None = None) -> None:
        """Note what became of a trial: COMPLETE with its best value, PRUNED, or FAIL."""
        log = self.trials[number]
        value = log.score if state is TrialState.COMPLETE else None
        ended = self._patiently(lambda: self._write_end(number, state, value, error))
        log.error, log.ended = error, ended
        log.state = state

    def decision(self, number: int, epoch: int) -> bool | None:
        """Whether the trial was stopped after an epoch; None if that has not been told."""
        epochs = self.trials[number].epochs
        return epochs[epoch - 1].stopped if epoch <= len(epochs) else None

    def counts(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return Counter(log.state for log in self.trials.values())

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(log.state.is_finished() for log in self.trials.values())

    @property
    def unfinished(self) -> list[TrialLog]:
        """Trials that were begun and have not ended."""
        return [log for log in self.trials.values() if not log.state.is_finished()]

    def _next(self) -> Trial:
        handle = self._begun() or self._study.ask()
        for name, distribution in self._distributions.items():
            _suggest(handle, name, distribution)
        return handle

    def _begun(self) -> Trial | None:
        """A trial that the storage has as running, and nobody here runs."""
        for frozen in self._stored():
            if frozen.state is TrialState.RUNNING and frozen.number not in self._handles:
                return Trial(self._study, frozen._trial_id)
        return None

    def _stored(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state is not TrialState.WAITING]

    def _write_epoch(self, number: int, epoch: int, told: Epoch, facts: dict[str, Any]) -> None:
        handle = self._handles[number]
        for name, value in facts.items():
            if handle.user_attrs.get(name) != value:
                handle.set_user_attr(name, value)
        # The value first: an epoch counts as told once its attribute is there.
        if epoch not in handle.storage.get_trial(handle._trial_id).intermediate_values:
            handle.report(told.metrics[METRIC], epoch)
        entry = {**told.metrics, "at": told.at, "stopped": told.stopped}
        handle.set_user_attr(epoch_key(epoch), entry)

    def _write_end(
        self, number: int, state: TrialState, value: float | None, error: str | None
    ) -> int:
        handle = self._handles[number]
        try:
            if error is not None:
                handle.set_user_attr(ERROR, error)
            frozen = self._study.tell(handle, value, state=state, skip_if_finished=True)
        except UpdateFinishedTrialError:  # an attempt before this one came through after all
            frozen = handle.storage.get_trial(handle._trial_id)
        return milliseconds(frozen.datetime_complete)

    def _patiently(self, action: Callable[[], _Result]) -> _Result:
        """Do something with the storage, again and again while it is locked or away.

        Raises:
            Halt: It is full, or has been away for too long.
        """
        deadline, pause = time.monotonic() + self._patience, 0.1
        while True:
            try:
                return action()
            except (SQLAlchemyError, StorageInternalError) as error:
                reason = _reason(error)
                if "is full" in reason:
                    raise Halt(f"no space is left for Optuna's storage: {reason}") from error
                if time.monotonic() > deadline:
                    raise Halt(f"Optuna's storage is out of reach: {reason}") from error
            time.sleep(pause)
            pause = min(2 * pause, 5.0)


def open_ledger(
    config: SearchConfig, name: str, identity: str, storage: str, kind: Kind = "trial"
) -> Ledger:
    """The ledger of a search, begun if it is not there yet.

    Args:
        config: The search.
        name: Of the search, and of its study.
        identity: Of the search, unique everywhere.
        storage: URL of Optuna's storage.
        kind: What its trials are.

    Raises:
        ConfigError: The storage cannot be used, or has another search of this name.
    """
    try:
        study = optuna.create_study(
            study_name=name,
            storage=_opened(storage),
            sampler=RepeatableSampler(config.sampler),
            direction="maximize",
            load_if_exists=True,
        )
        owner = study.user_attrs.get(_SEARCH)
        if owner is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(_SEARCH, owner := identity)
        if owner == identity:
            _enqueue(study, first_points(config))
    except (SQLAlchemyError, OptunaError, ImportError, ValueError) as error:
        raise ConfigError(f"tracking.study={storage} cannot be used: {_reason(error)}") from error
    if owner != identity:
        raise ConfigError(f"--name {name}: there is a search of this name in {storage}")
    return Ledger(study, config, kind)


def read_ledger(config: SearchConfig, name: str, kind: Kind = "trial") -> Ledger:
    """The ledger of a search that was begun, to be looked at.

    Raises:
        ConfigError: It was not, or the storage cannot be used.
    """
    storage = storage_url(config)
    try:
        return Ledger(optuna.load_study(study_name=name, storage=_opened(storage)), config, kind)
    except KeyError as error:
        raise ConfigError(f"search {name}: {storage} has no study of it") from error
    except (SQLAlchemyError, OptunaError, ImportError) as error:
        raise ConfigError(f"tracking.study={storage} cannot be used: {_reason(error)}") from error


def storage_url(config: SearchConfig) -> str:
    """URL of Optuna's storage."""
    return config.tracking.study or f"sqlite:///{HOME / 'optuna.db'}"


def _opened(url: str) -> RDBStorage:
    """A storage, whose tables another process may be making at this very moment.

    Optuna looks whether a table is there, and then makes it: of two processes that open a new
    database together, one fails. Trying again is enough.
    """
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6):
        try:
            return RDBStorage(url)
        except SQLAlchemyError as error:
            if not _MADE_MEANWHILE.search(_reason(error)):
                raise
        time.sleep(pause)
    return RDBStorage(url)


def _enqueue(study: Study, points: list[dict[str, Any]]) -> None:
    """Have the points tried first, those left out that a run before this one enqueued."""
    there = {trial.user_attrs.get(_POINT) for trial in study.get_trials(deepcopy=False)}
    for point in points:
        mark = json.dumps(point, sort_keys=True)
        if mark not in there:
            study.enqueue_trial(point, user_attrs={_POINT: mark})
            there.add(mark)


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> None:
    """Have a value drawn, or found where it has been drawn before."""
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)


def _reason(error: BaseException) -> str:
    """The first line of what lies at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error) or type(error).__name__).splitlines()[0]


def _now() -> int:
    return int(time.time() * 1000)
