"""What the trials of a study are to be: handed to it by the strategy, which it does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.samplers import BaseSampler

from tune.config.space import Values
from tune.study.search import Kind


@dataclass(frozen=True)
class Plan:
    """What is tried in a study.

    Attributes:
        kind: What its trials are.
        study: The study's name in Optuna's storage.
        space: What is searched, by dotted key.
        points: What is tried first, as values of searched keys.
        sampler: Proposes the rest, as a function of the study alone.
        asked: How many trials there are to be; None is one for each point that was ever planned.
    """

    kind: Kind
    study: str
    space: Mapping[str, Values]
    points: Sequence[Mapping[str, Any]]
    sampler: BaseSampler
    asked: int | None = None
