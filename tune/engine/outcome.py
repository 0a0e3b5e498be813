"""What a search came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainable.predictions import Predictions
from tune.strategy.confirmation import Finalist

if TYPE_CHECKING:
    from tune.models.promotion import Standing


@dataclass(frozen=True)
class Outcome:
    """What a search came to.

    Attributes:
        finalists: Its best trials, the winner first; none if no trial completed.
        candidate: `single` or `soup`: what of the winner was chosen.
        test: The chosen model's predictions on the test split.
        standing: What became of it in the registry, unless it was not registered.
        report: Its page.
        unrecorded: Why MLflow has not been told all of it, if it has not.
        error: What broke the first trial that failed, if none was completed.
    """

    finalists: tuple[Finalist, ...] = ()
    candidate: str | None = None
    test: Predictions | None = None
    standing: Standing | None = None
    report: Path | None = None
    unrecorded: str | None = None
    error: str | None = None
