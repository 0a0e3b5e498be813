"""The figure of what the model's probabilities are worth, before and after its calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.results import results_of
from trainable.data.datasets import Dataset
from trainable.inference.calibration import NEVER_SURE, NONE, Calibration
from tune.reporting.reliability import reliability, reliability_caption
from tune.reporting.results import Model, SearchResults


@pytest.fixture(scope="module")
def results(dataset: Dataset) -> SearchResults:
    return replace(results_of(dataset, 3), calibration=Calibration(1.5, 0.75))


def test_it_shows_the_answers_before_and_after(results: SearchResults) -> None:
    before, after, _ = reliability(results).data
    for series, test in ((before, results.test), (after, results.served)):
        assert sum(series.customdata) == len(test.labels)
        assert np.dot(series.y, series.customdata) == pytest.approx(test.right.sum())
        mean = np.dot(series.x, series.customdata) / len(test.labels)
        assert mean == pytest.approx(test.probabilities.max(1).mean(), abs=1e-6)
        assert series.name.endswith(f"error {test.calibration_error():.3f}")


def test_its_caption_says_how_the_sure_answers_did(results: SearchResults) -> None:
    sure = results.served.probabilities.max(1) >= 0.75
    assert 0 < sure.sum() < len(sure)
    told = f"{sure.mean():.0%} of the answers are sure, and {results.test.right[sure].mean():.1%}"
    caption = reliability_caption(results)
    assert told in caption
    assert "(1.5)" in caption


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        (Calibration(1.5, 0.0), "no answer is unsure"),
        (Calibration(1.5, NEVER_SURE), "every answer is unsure"),
        (Calibration(1.5, 0.999999), "here, all are"),
        (NONE, "too few validation images"),
        (None, "On the test images, whose number stands on each bar."),
    ],
)
def test_its_caption_says_what_there_is(
    calibration: Calibration | None, words: str, results: SearchResults
) -> None:
    assert reliability_caption(replace(results, calibration=calibration)).endswith(
        words + "." * (words[-1] != ".")
    )


def test_a_refit_is_told_to_be_not_calibrated(results: SearchResults) -> None:
    refit = replace(results, calibration=NONE, model=Model(("refit-000",), 6, None))
    assert "trained on the validation images too" in reliability_caption(refit)
    (bars, _) = reliability(refit).data
    assert sum(map(int, bars.text)) == len(refit.test.labels)


def test_of_a_refit_it_is_told_whose_calibration_it_has(results: SearchResults) -> None:
    told = "for the single run of the same recipe, which was not trained on them. Below"
    assert told not in reliability_caption(results)
    refit = replace(results, model=Model(("refit-000",), 6, None))
    assert told in reliability_caption(refit)


def test_there_is_none_without_a_test(results: SearchResults) -> None:
    assert reliability(replace(results, test=None)) is None
