"""Measures by class, against scikit-learn and on cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from trainable.judging.predictions import Predictions


def predictions(
    count: int, classes: int, seed: int = 0, *, absent: int | None = None
) -> Predictions:
    """Answers that are better than chance, without images of one class if so asked."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=draw)
    if absent is not None:
        labels[labels == absent] = (absent + 1) % classes
    logits = torch.randn(count, classes, generator=draw)
    return Predictions(logits + torch.nn.functional.one_hot(labels, classes), labels)


@pytest.mark.parametrize("absent", [None, 2])
def test_classes_without_images_are_left_out(absent: int | None) -> None:
    found = predictions(200, 4, absent=absent)
    there = sorted(set(found.labels.tolist()))
    answers, scores = found.logits.argmax(1), found.logits.double().softmax(1).numpy()
    assert (answers == 2).any()
    recalls = recall_score(found.labels, answers, labels=there, average="macro")
    assert found.balanced_accuracy == pytest.approx(recalls)
    f1 = f1_score(found.labels, answers, labels=there, average="macro")
    assert found.macro_f1 == pytest.approx(f1)
    areas = [roc_auc_score(found.labels == label, scores[:, label]) for label in there]
    assert found.auroc == pytest.approx(np.mean(areas))


def test_a_class_that_is_never_answered_has_an_f1_of_0() -> None:
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    found = Predictions(logits, torch.tensor([0, 0, 1, 1]))
    assert found.macro_f1 == pytest.approx((2 * 2 / (2 + 4) + 0) / 2)
    assert found.balanced_accuracy == 0.5


def test_ties_of_a_roc_curve_count_half() -> None:
    logits = torch.tensor([[0.0, 0.0]] * 3 + [[1.0, 0.0]])
    found = Predictions(logits, torch.tensor([0, 1, 1, 0]))
    # Of the pairs of an image of 0 and one of 1: two ties, and two in the right order.
    assert found.auroc == pytest.approx((2 + 2 / 2) / 4)
    assert Predictions(torch.zeros(6, 3), torch.arange(6) % 3).auroc == 0.5


def test_probabilities_that_round_to_1_are_still_told_apart() -> None:
    logits = torch.tensor([[60.0, 0.0], [50.0, 0.0], [40.0, 0.0], [30.0, 0.0]])
    assert Predictions(logits, torch.tensor([0, 0, 1, 1])).auroc == 1


def test_of_a_single_class_there_is_no_curve() -> None:
    assert math.isnan(Predictions(torch.eye(3), torch.zeros(3, dtype=torch.int64)).auroc)


@pytest.mark.parametrize("classes", [2, 5, 9])
def test_a_draw_is_measured_as_the_images_that_are_drawn(classes: int) -> None:
    found = predictions(120, classes)
    drawn = np.random.default_rng(0).integers(120, size=300)
    whole = found.drawn(torch.from_numpy(drawn))
    draw = found.outcomes.at(drawn)
    costs = np.arange(classes**2).reshape(classes, classes).tolist()
    assert np.array_equal(found.outcomes.confusion(drawn), whole.confusion())
    assert draw.accuracy == pytest.approx(whole.accuracy)
    for name in ("balanced_accuracy", "macro_f1", "auroc", "top_accuracy"):
        assert getattr(draw, name) == pytest.approx(getattr(whole, name)), name
    assert draw.mean_cost(costs) == pytest.approx(whole.mean_cost(costs))


def test_the_first_five_answers_are_five_also_where_all_are_alike() -> None:
    alike = Predictions(torch.zeros(20, 10), torch.arange(20) % 10)
    assert alike.top_accuracy == 0.5
    assert predictions(20, 4).top_accuracy == 1
