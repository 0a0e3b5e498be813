"""What MLflow shows of a search: what, on which data, how good, how to call it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.helpers.names import NASTY
from tests.helpers.results import results_of
from trainable.data.datasets import Dataset
from trainable.inference.calibration import Calibration
from tune.models.promotion import Standing
from tune.reporting.notes import note
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist
from tune.tracking.notes import LONGEST, SIGNATURE, Links

LINKS = Links("1", "run", {"trial-000": "child"})


@pytest.fixture(scope="module")
def results(dataset: Dataset) -> SearchResults:
    found = results_of(dataset, 7)
    trials = found.ledger.trials
    return replace(
        found,
        finalists=(Finalist(trials[0], [trials[3], trials[6]]),),
        standing=Standing(3, True, None, "the first champion"),
        decision="the first champion",
        calibration=Calibration(1.5, 0.75),
    )


def test_it_says_how_good_and_how_sure(results: SearchResults) -> None:
    text, test = note(results, LINKS), results.test
    low, high = test.accuracy_interval()
    interval = f"95 % interval {low:.2%} to {high:.2%}"
    assert f"**Test accuracy**: {test.accuracy:.2%} ({interval}), on {len(test.labels)}" in text
    assert low < test.accuracy < high
    best = results.finalists[0]
    assert f"validation accuracy {best.mean:.2%} ± {best.spread:.2%} over 2 other seeds" in text
    assert "by which it was chosen\\, so" not in text
    assert "temperature 1.5), unsure below 75.0%" in text
    assert "models:/resnet18-digits/3 photo.jpg" in text
    assert "Registered** as version 3" in text
    assert "[model card](#/experiments/1/runs/run/artifacts/MODEL_CARD.md)" in text


def test_a_search_without_a_model_is_described_too(results: SearchResults) -> None:
    none = replace(
        results, finalists=(), model=None, test=None, calibration=None, standing=None, decision=""
    )
    text = note(none, Links("1", "run", {}))
    assert "- **Data**: digits, " in text
    assert "- **Trials**: 7, 0 with an error" in text
    assert "tune.predict" not in text


def test_names_of_classes_are_nothing_but_names(results: SearchResults, dataset: Dataset) -> None:
    classes = ("<b>&", "[x](http://y)", "`*`", *NASTY)[: len(dataset.classes)]
    text = note(replace(results, dataset=replace(dataset, classes=classes)), LINKS)
    assert "<b>" not in text
    assert "[x](" not in text
    assert r"\`\*\`" in text


def test_it_is_no_longer_than_stores_take(results: SearchResults, dataset: Dataset) -> None:
    classes = tuple(f"{number:04d}" + "*" * 200 for number in range(1000))
    long = replace(results, dataset=replace(dataset, classes=classes), decision="*" * 5000)
    text = note(long, LINKS)
    assert len(text) < LONGEST + 10
    assert "1000 classes" in text
    assert "and 980 more" in text
    assert "models:/resnet18-digits/3 photo.jpg" in text
    assert text.rstrip().endswith(SIGNATURE)
