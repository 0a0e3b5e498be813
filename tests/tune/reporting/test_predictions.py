"""The figures of a model's predictions."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from tests.helpers.results import results_of
from trainable.data.datasets import Dataset
from trainable.judging.predictions import Predictions
from tune.reporting.predictions import calibration, confusion, per_class, worst_mistakes


@pytest.fixture
def test(dataset: Dataset) -> Predictions:
    predictions = results_of(dataset, 1).test
    assert predictions is not None
    return predictions


def counts_of(bars: go.Bar) -> list[int]:
    """The numbers of images that are written on bars."""
    return [int(text) for text in bars.text]


def test_the_worst_mistakes_are_those_it_was_most_confident_of(test: Predictions) -> None:
    assert worst_mistakes(test, 3).tolist() == [6, 5, 4]
    assert sorted(worst_mistakes(test, 100)) == list(range(7))


def test_calibration_counts_every_image_once(test: Predictions) -> None:
    bars = calibration(test).data[0]
    counts = counts_of(bars)
    assert sum(counts) == len(test.labels)
    right = sum(count * share for count, share in zip(counts, bars.y, strict=True))
    assert right == pytest.approx(test.right.sum())


def test_the_bars_of_calibration_are_as_far_from_the_line_as_it_says() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2000, 5, generator=draw)
    test = Predictions(logits, torch.randint(5, (2000,), generator=draw))
    bars = calibration(test).data[0]
    share = np.array(counts_of(bars)) / 2000
    error = (share * np.abs(bars.x - bars.y)).sum()
    assert error == pytest.approx(test.calibration_error(), abs=1e-6)


@pytest.mark.parametrize("right", [True, False])
def test_calibration_of_a_model_that_is_always_right_or_never(right: bool) -> None:
    labels = torch.tensor([0, 1, 2])
    logits = torch.eye(3) if right else torch.eye(3).roll(1, 0)
    bars = calibration(Predictions(logits, labels)).data[0]
    assert (bars.y == [float(right)]).all()
    assert counts_of(bars) == [3]


def test_confusion_leaves_out_what_never_happened(dataset: Dataset, test: Predictions) -> None:
    figure = confusion(dataset.classes, test)
    counts = test.confusion()
    heatmap = figure.data[0]
    assert np.array_equal(np.isfinite(heatmap.z), counts > 0)
    assert heatmap.text[0][0] == str(counts[0, 0])


def test_precision_recall_and_f1_have_a_bar_each_for_every_class(
    dataset: Dataset, test: Predictions
) -> None:
    precision, recall, f1 = per_class(dataset.classes, test).data
    assert (precision.name, recall.name, f1.name) == ("precision", "recall", "F1")
    assert precision.x == recall.x == f1.x == dataset.classes
    counts = test.confusion()
    assert recall.y[0] == pytest.approx(counts[0, 0] / counts[0].sum())
