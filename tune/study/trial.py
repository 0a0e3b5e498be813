"""A trial of a search, as Optuna's storage has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from optuna.trial import FrozenTrial, TrialState

Kind = Literal["trial", "confirm"]
"""A trial of the search, or a finalist's under another seed."""

METRIC: Final = "val_acc"
MODE: Final = "max"
METRICS: Final = ("train_loss", "train_acc", "val_loss", "val_acc", "epoch_seconds")
"""What is kept of each epoch."""

FACTS: Final = ("device", "precision", "threads", "micro_batches", "compiled", "processor")
"""What a trial's metrics depend on besides its config."""

_EPOCH, ERROR = "epoch:", "error"
"""Names of a trial's attributes in Optuna's storage."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of a trial.

    Attributes:
        metrics: The values of :data:`METRICS`.
        at: When it was told, in ms since 1970.
        stopped: Whether the scheduler stopped the trial after it.
    """

    metrics: dict[str, float]
    at: int
    stopped: bool = False

    @property
    def rank(self) -> tuple[float, float]:
        """What makes it better than another: its accuracy, then its lower loss."""
        return self.metrics[METRIC], -self.metrics["val_loss"]


@dataclass
class TrialLog:
    """A trial so far. Another thread may read it: `state` changes last.

    Attributes:
        number: In the search, from 0.
        params: Values of the searched keys.
        started: In ms since 1970.
        epochs: In order; the first is epoch 1.
        facts: The values of :data:`FACTS`, once an epoch has told them.
        error: What broke it.
        ended: In ms since 1970.
        state: RUNNING, COMPLETE, PRUNED or FAIL.
    """

    number: int
    params: dict[str, Any]
    started: int
    epochs: list[Epoch] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    ended: int | None = None
    state: TrialState = TrialState.RUNNING

    @classmethod
    def of(cls, frozen: FrozenTrial) -> TrialLog:
        """What the storage has of a trial."""
        attrs = frozen.user_attrs
        log = cls(frozen.number, dict(frozen.params), milliseconds(frozen.datetime_start))
        while (entry := attrs.get(epoch_key(len(log.epochs) + 1))) is not None:
            metrics = {name: entry[name] for name in METRICS}
            log.epochs.append(Epoch(metrics, entry["at"], entry["stopped"]))
        log.facts = {name: attrs[name] for name in FACTS if name in attrs}
        log.error, log.state = attrs.get(ERROR), frozen.state
        if frozen.state.is_finished():
            log.ended = milliseconds(frozen.datetime_complete)
        return log

    @property
    def best(self) -> int | None:
        """Its best epoch, counted from 1: the most accurate, then the one of lower loss."""
        if not self.epochs:
            return None
        return 1 + max(range(len(self.epochs)), key=lambda index: self.epochs[index].rank)

    @property
    def score(self) -> float | None:
        """The best epoch's accuracy."""
        return self.best_epoch.metrics[METRIC] if self.epochs else None

    @property
    def best_epoch(self) -> Epoch:
        """The best epoch of a trial that has told one."""
        assert self.best is not None
        return self.epochs[self.best - 1]


def epoch_key(epoch: int) -> str:
    """Name of the attribute that holds an epoch."""
    return f"{_EPOCH}{epoch}"


def milliseconds(moment: datetime | None) -> int:
    """Optuna's times, which are local, in ms since 1970."""
    assert moment is not None
    return int(moment.timestamp() * 1000)
