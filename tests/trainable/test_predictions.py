"""Metrics against cases small enough to be worked out by hand."""

from __future__ import annotations

import json
import math

import pytest
import torch

from trainable.judging.predictions import Predictions


def predictions(probabilities: list[list[float]], labels: list[int]) -> Predictions:
    """A model that gives these probabilities."""
    return Predictions(torch.tensor(probabilities).log(), torch.tensor(labels))


@pytest.fixture
def three_classes() -> Predictions:
    """Truth 0 0 1 1, answers 0 1 1 1; there is a class 2 that nobody names."""
    rows = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.25, 0.5, 0.25]]
    return predictions(rows, [0, 0, 1, 1])


def test_loss_is_the_mean_negative_log_probability_of_the_truth(three_classes: Predictions) -> None:
    expected = -(math.log(0.7) + math.log(0.3) + math.log(0.7) + math.log(0.5)) / 4

    assert three_classes.loss == pytest.approx(expected)


def test_accuracy_is_the_share_of_right_answers(three_classes: Predictions) -> None:
    assert three_classes.accuracy == 0.75


def test_the_interval_of_an_accuracy_is_that_of_wilson(three_classes: Predictions) -> None:
    z, share, images = 1.959963984540054, 0.75, 4
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    spread = math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    half = z * spread / (1 + z**2 / images)
    assert three_classes.accuracy_interval() == pytest.approx((middle - half, middle + half))


def test_the_interval_of_a_model_that_is_always_right_is_not_empty() -> None:
    low, high = predictions(10 * [[0.9, 0.1]], 10 * [0]).accuracy_interval()
    assert (low, high) == (pytest.approx(0.7225, abs=1e-4), 1)


def test_probabilities_are_the_softmax(three_classes: Predictions) -> None:
    assert three_classes.probabilities[3].tolist() == pytest.approx([0.25, 0.5, 0.25])
    assert three_classes.probabilities.sum(1) == pytest.approx(1)


def test_confusion_has_truth_by_row_and_answer_by_column(three_classes: Predictions) -> None:
    assert three_classes.confusion().tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_each_class_has_precision_recall_and_f1(three_classes: Predictions) -> None:
    per_class = three_classes.per_class(["ant", "bee", "cat"])

    assert per_class["ant"] == pytest.approx(
        {"precision": 1, "recall": 1 / 2, "f1": 2 / 3, "support": 2}
    )
    assert per_class["bee"] == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "f1": 4 / 5, "support": 2}
    )


def test_a_class_that_never_occurs_scores_nothing(three_classes: Predictions) -> None:
    assert three_classes.per_class(["ant", "bee", "cat"])["cat"] == {
        "precision": 0,
        "recall": 0,
        "f1": 0,
        "support": 0,
    }


def test_a_model_that_is_surely_right_is_calibrated() -> None:
    sure = Predictions(torch.eye(3) * 1000, torch.arange(3))

    assert sure.calibration_error() == 0
    assert (sure.accuracy, sure.loss) == (1, 0)


def test_a_model_that_is_surely_wrong_is_as_far_off_as_can_be() -> None:
    wrong = Predictions(torch.eye(3) * 1000, torch.tensor([1, 2, 0]))

    assert wrong.calibration_error() == 1


def test_a_model_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    honest = predictions([[0.75, 0.25]] * 4, [0, 0, 0, 1])

    assert honest.calibration_error() == pytest.approx(0, abs=1e-6)


def test_calibration_error_weighs_each_bins_gap_by_its_images() -> None:
    sure, unsure = [[0.95, 0.05]] * 3, [[0.55, 0.45]]
    mixed = predictions(sure + unsure, [0, 0, 1, 1])

    expected = 3 / 4 * abs(2 / 3 - 0.95) + 1 / 4 * abs(0 - 0.55)

    assert mixed.calibration_error() == pytest.approx(expected, abs=1e-6)


def test_gaps_in_one_bin_cancel_and_gaps_in_two_do_not() -> None:
    opposed = predictions([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]], [1, 0])

    assert opposed.calibration_error(bins=1) == pytest.approx(abs(1 / 2 - 0.65))
    assert opposed.calibration_error(bins=2) == pytest.approx((0.9 + 0.6) / 2)


def test_the_summary_holds_it_all_as_json(three_classes: Predictions) -> None:
    names = ["ant", "bee", "cat"]

    summary = json.loads(json.dumps(three_classes.summary(names)))

    assert summary == {
        "images": 4,
        "loss": three_classes.loss,
        "accuracy": 0.75,
        "balanced_accuracy": 0.75,
        "macro_f1": pytest.approx((2 / 3 + 4 / 5) / 2),
        "auroc": (1 + 3 / 4) / 2,
        "calibration_error": three_classes.calibration_error(),
        "classes": names,
        "confusion": [[1, 1, 0], [0, 2, 0], [0, 0, 0]],
        "per_class": three_classes.per_class(names),
    }


def test_a_summary_of_a_thousand_classes_has_no_matrix_of_them() -> None:
    names = [str(number) for number in range(1000)]
    summary = Predictions(torch.eye(1000), torch.arange(1000)).summary(names)
    assert "confusion" not in summary
    assert len(summary["per_class"]) == 1000
    assert len(json.dumps(summary, indent=2)) < 1_000_000
