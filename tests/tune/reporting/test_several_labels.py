"""The report of a model whose images have any number of labels."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.results import dataset_of, results_of
from trainable.data.split import Split
from trainable.inference.calibration import Calibration
from trainable.judging.predictions import Predictions
from tune.engine.known_by import trust_of
from tune.reporting.files import write_report
from tune.reporting.predictions import answer_of, truth_of, worst_mistakes
from tune.reporting.reliability import reliability, reliability_caption
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist

NAMES = ("red", "round", "<big>")
WORDS = ("objective.metric=val_map", "objective.also=[val_micro_f1]")


def several(split: Split) -> Split:
    targets = np.random.default_rng(0).integers(0, 2, (len(split), 3), np.uint8)
    targets[0] = 0
    return replace(split, targets=targets)


@pytest.fixture
def results() -> SearchResults:
    dataset = dataset_of(NAMES, images=10)
    split = several(dataset.test)
    dataset = replace(dataset, train=split, val=split, test=split)
    found = results_of(dataset, 4, *WORDS)
    truth = split.truth
    assert truth is not None
    logits = 3 * (2 * truth.float() - 1)
    logits[0, 0], logits[1] = 1.0, -5 * logits[1]
    return replace(
        found,
        test=Predictions(logits, split.labels, truth),
        finalists=(Finalist(found.ledger.trials[0]),),
        number=3,
    )


def test_its_report_has_what_is_defined_for_labels(results: SearchResults, tmp_path: Path) -> None:
    files = {path.name: path for path in write_report(results, tmp_path)}
    assert "confusion.png" not in files
    assert "mistakes.png" in files
    text = files["report.html"].read_text()
    headings = re.findall(r"<h2>([^<]+)</h2>", text)
    assert {"Precision and recall", "Calibration"} <= set(headings)
    assert not {"Confusion", "Most confused"} & set(headings)
    test, split = results.test, results.dataset.test
    assert test is not None
    counts = [int(split.targets[:, label].sum()) for label in range(3)]
    assert f"<td><bdi>red</bdi></td>{3 * f'<td>{counts[0]}</td>'}" in text
    assert f"{test.mean_average_precision:.2%}" in text
    assert f"{test.micro_f1:.2%}" in text
    card = files["MODEL_CARD.md"].read_text()
    assert "which of its 3 labels an image has" in card
    assert "It answers one of its" not in card


def test_the_reliability_of_labels_is_shown_before_and_after_calibration(
    results: SearchResults,
) -> None:
    test = results.test
    assert test is not None
    assert test.truth is not None
    (bars, _) = reliability(results).data
    assert sum(map(int, bars.text)) == test.truth.numel()
    calibrated = replace(results, calibration=Calibration(1.5, 0.85))
    figure = reliability(calibrated)
    for series, found in zip(figure.data, (test, calibrated.served), strict=False):
        assert np.dot(series.y, series.customdata) == pytest.approx(test.truth.sum())
        assert series.name.endswith(f"error {found.calibration_error():.3f}")
    assert sorted(shape.x0 for shape in figure.layout.shapes) == pytest.approx([0.15, 0.85])
    assert figure.layout.xaxis.title.text == "probability of a label"
    caption = reliability_caption(calibrated)
    assert "between 15.0% and 85.0% (dashed)" in caption
    sure = calibrated.calibration.is_sure(test)
    assert f"{sure.mean():.0%} of the answers are sure" in caption
    told = trust_of(calibrated, test)
    assert told["test_sure"] == pytest.approx(sure.mean())
    assert told["test_calibration_error"] == calibrated.served.calibration_error()


def test_a_mistake_is_an_image_of_which_a_label_is_wrong(results: SearchResults) -> None:
    test = results.test
    assert test is not None
    assert worst_mistakes(test).tolist() == [1, 0]
    assert truth_of(test, NAMES, 0) == "no label"
    assert answer_of(test, NAMES, 0) == "red"
    assert torch.allclose(test.sureness[0], torch.tensor(1.0).sigmoid())
