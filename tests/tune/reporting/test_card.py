"""The card of a registered model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.names import NASTY
from tests.helpers.results import dataset_of, results_of
from trainable.inference.calibration import Calibration
from tune.reporting.card import has_card, model_card
from tune.reporting.files import write_report
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist
from tune.tracking.notes import plain


@pytest.fixture
def results() -> SearchResults:
    found = results_of(dataset_of(NASTY, images=3), 4)
    return replace(found, finalists=(Finalist(found.ledger.trials[0]),), number=3, latency=0.01)


def test_it_says_what_on_which_data_how_good_and_how_to_call_it(results: SearchResults) -> None:
    text = model_card(results)
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        r"# resnet18\-digits, version 3",
        *(f"## {it}" for it in ("Data", "Training", "Results", "Comparison", "Limits", "Use")),
    ]
    images = len(results.dataset.test)
    assert f"| all | {images} | {images} | {images} |" in text
    assert (
        f"({results.test_intervals['test accuracy']}), as it is served, on {images} images" in text
    )
    assert "The registry's decision: the first champion." in text
    assert "latency: 10 ms for one image of 32 x 32" in text
    assert "| optim\\.lr | " in text
    assert "23 of its classes have fewer than 30 test images" in text
    assert "resnet-tune predict --model models:/resnet18-digits/3 photo.jpg" in text


def test_it_says_what_its_probabilities_are_worth(results: SearchResults) -> None:
    assert "Its probabilities are not calibrated." in model_card(results)
    text = model_card(replace(results, calibration=Calibration(1.5, 0.75)))
    assert "at temperature 1.5" in text
    assert "Answers of a probability below 75.0% are marked as unsure." in text
    assert "not calibrated" not in text


def test_names_of_classes_are_nothing_but_names(results: SearchResults) -> None:
    text = model_card(results)
    for name in NASTY:
        assert text.count(f"\n| {plain(name, 10_000)} | ") == 2, name
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(row.replace("\\|", "").split("|")) for row in rows} == {4, 6, 7}


@pytest.mark.parametrize("lacking", [{"number": None}, {"test": None}, {"model": None}])
def test_there_is_none_of_what_is_not_registered_or_not_tested(
    lacking: dict[str, None], results: SearchResults
) -> None:
    assert has_card(results)
    assert not has_card(replace(results, **lacking))


@pytest.mark.slow
def test_it_is_one_of_the_reports_files(results: SearchResults, tmp_path: Path) -> None:
    files = [path.name for path in write_report(results, tmp_path)]
    assert files[:2] == ["report.html", "MODEL_CARD.md"]
    (tmp_path / "no").mkdir()
    files = [path.name for path in write_report(replace(results, number=None), tmp_path / "no")]
    assert "MODEL_CARD.md" not in files
