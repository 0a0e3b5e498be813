"""What is recorded at the end of a search, by its objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.results import results_of
from trainable.data.datasets import load_dataset
from trainable.finetuner import FineTuner
from trainable.predictions import Predictions
from tune.config.loading import load_config
from tune.engine.conclusion import _record
from tune.models.candidates import Candidate
from tune.strategy.confirmation import Finalist
from tune.tracking.record import SearchRecord


@dataclass
class Noted:
    """A record that keeps what it is to log."""

    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    evaluated: list[Any] = field(default_factory=list)

    def child(self, number: int) -> str:
        return f"run of {number}"

    def log_summary(self, metrics: Mapping[str, float], tags: Mapping[str, Any]) -> None:
        self.metrics |= metrics
        self.tags |= tags

    def log_evaluation(self, *words: Any) -> None:
        self.evaluated += words


def noted(metric: str, *, confirmed: bool) -> tuple[Noted, Finalist, Predictions]:
    """What is recorded of a winner whose soup was chosen."""
    dataset = load_dataset(load_config(DIGITS, ["data.image_size=16"]).data)
    results = results_of(dataset, 7, f"objective.metric={metric}")
    trials, soup = results.ledger.trials, results.test
    assert soup is not None
    winner = Finalist(trials[0], [trials[3], trials[6]] if confirmed else [])
    single = Predictions(soup.logits / 2, soup.labels)
    tests = {"single": single, "soup": soup}
    tuner = cast("FineTuner", None)  # not asked for anything here
    candidates = [
        Candidate(name, results.objective, tuner, test, (name,)) for name, test in tests.items()
    ]
    record = Noted()
    identity = {"tune.candidate": "soup"}
    results = replace(results, finalists=(winner,))
    _record(cast("SearchRecord", record), results, candidates, tests, identity)
    return record, winner, soup


@pytest.mark.parametrize(("metric", "test_name"), [("val_acc", "acc"), ("val_loss", "loss")])
def test_metrics_are_named_after_the_objective(metric: str, test_name: str) -> None:
    record, winner, soup = noted(metric, confirmed=True)
    assert record.metrics.keys() == {
        *(f"best_{metric}", f"confirmed_{metric}", f"confirmed_{metric}_spread"),
        *("test_acc", "test_loss"),
        *(f"{name}_{metric}" for name in ("single", "soup")),
        *(f"{name}_test_{test_name}" for name in ("single", "soup")),
    }
    assert record.metrics[f"best_{metric}"] == winner.trial.best_epoch.metrics[metric]
    assert record.metrics[f"confirmed_{metric}"] == winner.mean
    assert record.metrics[f"confirmed_{metric}_spread"] == winner.spread > 0
    assert record.metrics[f"soup_test_{test_name}"] == record.metrics[f"test_{test_name}"]
    assert (record.metrics["test_acc"], record.metrics["test_loss"]) == (soup.accuracy, soup.loss)
    assert record.tags == {"tune.candidate": "soup", "tune.best_run": "run of 0"}
    assert record.evaluated[0] is soup


def test_what_was_not_confirmed_is_not_recorded_as_confirmed() -> None:
    record, _, _ = noted("val_acc", confirmed=False)
    assert not any(name.startswith("confirmed") for name in record.metrics)
