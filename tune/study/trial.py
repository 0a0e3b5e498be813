"""A trial of a search, as Optuna's storage holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from optuna.trial import FrozenTrial, TrialState

from trainable.judging.objective import Objective

__all__ = [
    "CUT_SHORT",
    "ERROR",
    "FACTS",
    "NO_TRIAL",
    "Decision",
    "Epoch",
    "TrialLog",
    "TrialState",
    "epoch_key",
    "failed_by_itself",
    "milliseconds",
]

FACTS: Final = ("device", "precision", "threads", "micro_batches", "compiled", "processor")
"""What a trial's metrics depend on besides its config."""

_EPOCH, ERROR, CUT_SHORT = "epoch:", "error", "cut_short"
"""Names of a trial's attributes in Optuna's storage."""
_AT, _STOPPED, _PAUSED = "at", "stopped", "paused"
"""What the attribute of an epoch holds beside its metrics."""


NO_TRIAL: Final = "NoTrialError"
"""What the error of a trial begins with whose values break a rule between keys."""
_OWN_FAULTS: Final = ("DivergedError", "OutOfMemoryError", NO_TRIAL)
"""What the error of a trial begins with that failed for its values, and would again."""


class Decision(StrEnum):
    """What becomes of a trial after an epoch."""

    GO_ON = "go_on"
    PAUSE = "pause"
    """It gives its place to another, and may go on later from its checkpoint."""
    STOP = "stop"


@dataclass(frozen=True)
class Epoch:
    """One epoch of a trial.

    Attributes:
        metrics: The values of :attr:`Objective.epoch_metrics`.
        at: The time of its report, in ms since 1970.
        decision: The scheduler's, after it.
    """

    metrics: dict[str, float]
    at: int
    decision: Decision = Decision.GO_ON

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Epoch:
        """An epoch as :meth:`written` put it into the storage."""
        metrics = {k: v for k, v in entry.items() if k not in {_AT, _STOPPED, _PAUSED}}
        paused = Decision.PAUSE if entry.get(_PAUSED) else Decision.GO_ON
        return cls(metrics, entry[_AT], Decision.STOP if entry[_STOPPED] else paused)

    def written(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        paused = {_PAUSED: True} if self.decision is Decision.PAUSE else {}
        stopped = self.decision is Decision.STOP
        return {**self.metrics, _AT: self.at, _STOPPED: stopped, **paused}


@dataclass
class TrialLog:
    """A trial so far. Another thread may read it: `state` changes last.

    Attributes:
        number: Its place in the search, from 0.
        params: The values of the searched keys.
        started: The time in ms since 1970.
        epochs: In order; the first is epoch 1.
        facts: The values of :data:`FACTS`, once an epoch has been reported.
        error: The reason of a failure.
        cut_short: Whether it ended because the search's time was up; with more, it goes on.
        ended: The time in ms since 1970.
        state: RUNNING, COMPLETE, PRUNED or FAIL.
        objective: What makes an epoch better than another.
    """

    number: int
    params: dict[str, Any]
    started: int
    epochs: list[Epoch] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    cut_short: bool = False
    ended: int | None = None
    state: TrialState = TrialState.RUNNING
    objective: Objective = field(default_factory=lambda: Objective.named("val_acc"))
    _seen: int = field(default=0, compare=False, repr=False)
    _best: int = field(default=0, compare=False, repr=False)

    @classmethod
    def of(cls, frozen: FrozenTrial, objective: Objective) -> TrialLog:
        """A trial as the storage has it."""
        attrs = frozen.user_attrs
        started = milliseconds(frozen.datetime_start)
        log = cls(frozen.number, dict(frozen.params), started, objective=objective)
        while (entry := attrs.get(epoch_key(len(log.epochs) + 1))) is not None:
            log.epochs.append(Epoch.read(entry))
        log.facts = {name: attrs[name] for name in FACTS if name in attrs}
        log.error, log.state = attrs.get(ERROR), frozen.state
        log.cut_short = frozen.state.is_finished() and bool(attrs.get(CUT_SHORT))
        if frozen.state.is_finished():
            log.ended = milliseconds(frozen.datetime_complete)
        return log

    @property
    def best(self) -> int | None:
        """The number of its best epoch, from 1; of equals, the first."""
        if not self.epochs:
            return None
        # Only what is new is looked at: a trial may have thousands of epochs.
        for index in range(self._seen, len(self.epochs)):
            if self._rank(index) > self._rank(self._best):
                self._best = index
            self._seen = index + 1
        return 1 + self._best

    @property
    def best_epoch(self) -> Epoch:
        """The best epoch of a trial that has reported one."""
        assert self.best is not None
        return self.epochs[self.best - 1]

    @property
    def score(self) -> float | None:
        """The objective at the best epoch."""
        return self.objective.score(self.best_epoch.metrics) if self.epochs else None

    @property
    def rank(self) -> tuple[float, float]:
        """What makes a trial that has reported an epoch better than another."""
        return self.objective.rank(self.best_epoch.metrics)

    @property
    def is_paused(self) -> bool:
        """Whether it waits for its scheduler to let it go on."""
        running = self.state is TrialState.RUNNING
        return running and bool(self.epochs) and self.epochs[-1].decision is Decision.PAUSE

    def _rank(self, index: int) -> tuple[float, float]:
        return self.objective.rank(self.epochs[index].metrics)


def failed_by_itself(frozen: FrozenTrial) -> bool:
    """Whether a trial failed by its own fault: it diverged, or needs more memory than there is."""
    failed = frozen.state is TrialState.FAIL
    return failed and str(frozen.user_attrs.get(ERROR, "")).startswith(_OWN_FAULTS)


def epoch_key(epoch: int) -> str:
    """The name of the attribute that holds an epoch."""
    return f"{_EPOCH}{epoch}"


def milliseconds(moment: datetime | None) -> int:
    """One of Optuna's times, which are local, in ms since 1970."""
    assert moment is not None
    return int(moment.timestamp() * 1000)
