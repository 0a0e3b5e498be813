"""What a search came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import TrialState

from trainable.metrics import Predictions
from tune.trial_log import TrialLog


@dataclass(frozen=True)
class Outcome:
    """What a search came to.

    Attributes:
        winner: The best trial, unless none was completed.
        test: The winner's predictions on the test split.
        version: Of the registered model, unless none was registered.
        unrecorded: Why MLflow has not been told all of it, if it has not.
        error: What broke the first trial that failed, if none was completed.
    """

    winner: TrialLog | None = None
    test: Predictions | None = None
    version: int | None = None
    unrecorded: str | None = None
    error: str | None = None


def winner_of(trials: Iterable[TrialLog]) -> TrialLog | None:
    """The completed trial with the best epoch; among equals, of the lowest loss, then the first."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return max(complete, key=lambda trial: (trial.best_epoch.rank, -trial.number), default=None)
