"""What a search came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from ray.tune import ResultGrid

from trainable.checkpoints import BEST
from trainable.config import TrialConfig
from trainable.metrics import Predictions
from trainable.ray_trainable import rank
from tune.searcher import final_state


@dataclass(frozen=True)
class Winner:
    """The best trial of a search, at its best epoch.

    Attributes:
        number: Of the trial.
        trial_id: Ray's.
        config: The trial's.
        metrics: Of the best epoch.
        checkpoint: File of the state after it.
    """

    number: int
    trial_id: str
    config: TrialConfig
    metrics: dict[str, Any]
    checkpoint: Path


@dataclass(frozen=True)
class Outcome:
    """What a search came to.

    Attributes:
        counts: Trials by final state.
        interrupted: Whether it was stopped before its last trial.
        winner: The best trial, unless none was completed.
        test: The winner's predictions on the test split.
        version: Of the registered model, unless none was registered.
    """

    counts: dict[TrialState, int]
    interrupted: bool
    winner: Winner | None = None
    test: Predictions | None = None
    version: int | None = None


def winner_of(results: ResultGrid) -> Winner | None:
    """The completed trial with the best epoch; among equals, of the lowest loss."""
    complete = [
        result
        for result in results
        if final_state(result.metrics, error=result.error is not None) is TrialState.COMPLETE
    ]
    if not complete:
        return None
    best = max(complete, key=lambda result: rank(result.metrics["best"]))
    return Winner(
        number=best.config["number"],
        trial_id=best.metrics["trial_id"],
        config=TrialConfig.model_validate(best.config["trial"]),
        metrics=best.metrics["best"],
        checkpoint=Path(best.config["folder"], BEST),
    )
