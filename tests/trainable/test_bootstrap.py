"""Resampled measures: their draws, their intervals, and what few images leave open."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm

from trainable.judging.bootstrap import _draws, interval, least_spread, resampled
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions

BALANCED = Objective.named("val_balanced_acc").metric
TOP5, LOSS, AUROC = (
    Objective.named(name).metric for name in ("val_top5_acc", "val_loss", "val_auroc")
)
RARE = torch.cat([torch.zeros(200), torch.ones(2)]).long()


def right_of(labels: torch.Tensor, wrong: torch.Tensor) -> Predictions:
    """Predictions of two classes that are right but for some images."""
    answers = torch.where(wrong, 1 - labels, labels)
    return Predictions(torch.nn.functional.one_hot(answers, 2).float(), labels)


def test_by_class_each_draw_has_as_many_images_of_every_class_as_there_are() -> None:
    for drawn in _draws(RARE, 50, 0, by_class=True):
        assert torch.bincount(RARE[drawn]).tolist() == [200, 2]
    found = torch.cat(list(_draws(RARE, 200, 0, by_class=True)))
    assert set(found.tolist()) == set(range(202))
    counts = [int((RARE[drawn] == 1).sum()) for drawn in _draws(RARE, 200, 0, by_class=False)]
    assert 0 in counts


def test_the_interval_of_a_loss_is_about_that_of_a_mean() -> None:
    sure = torch.rand(300, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    rows = torch.stack([sure, 1 - sure], 1)
    found = Predictions(rows.log(), torch.zeros(300, dtype=torch.int64))
    low, high = interval(LOSS, found)
    half = 1.96 * (-sure.log()).std().item() / math.sqrt(300)
    assert low == pytest.approx(found.loss - half, abs=0.15 * half)
    assert high == pytest.approx(found.loss + half, abs=0.15 * half)


def test_the_interval_of_a_mean_of_recalls_is_that_of_its_classes() -> None:
    labels = torch.arange(400) % 2
    wrong = torch.rand(400, generator=torch.Generator().manual_seed(0)) < 0.2
    found = right_of(labels, wrong)
    shares = [1 - wrong[labels == label].float().mean().item() for label in (0, 1)]
    half = 1.96 * math.sqrt(sum(share * (1 - share) / 200 for share in shares)) / 2
    low, high = interval(BALANCED, found)
    assert (low, high) == pytest.approx((np.mean(shares) - half, np.mean(shares) + half), abs=0.01)


def test_of_images_that_are_all_right_the_interval_is_that_of_wilson() -> None:
    labels = torch.arange(60) % 6
    found = Predictions(torch.nn.functional.one_hot(labels, 6).float(), labels)
    wilson = binomtest(60, 60).proportion_ci(0.95, "wilson")
    assert interval(TOP5, found) == pytest.approx((wilson.low, 1.0))


def test_two_images_of_a_class_leave_much_open_however_many_there_are_of_others() -> None:
    z2 = float(norm.isf(0.05)) ** 2
    wanted = math.hypot(z2 / (200 + z2), z2 / (2 + z2)) / 2
    assert least_spread(BALANCED, RARE, 0.05) == pytest.approx(wanted)
    assert wanted > 0.28
    low, high = interval(BALANCED, right_of(RARE, torch.zeros(202, dtype=torch.bool)))
    assert low < 0.75
    assert high == 1


def test_models_are_resampled_together_and_the_same_way_again() -> None:
    labels = torch.arange(60) % 3
    model = Predictions(torch.randn(60, 3, generator=torch.Generator().manual_seed(1)), labels)
    values = resampled(AUROC, [model, model], 20, 5)
    assert values.shape == (20, 2)
    assert np.array_equal(values[:, 0], values[:, 1])
    assert len(set(values[:, 0])) > 10
    assert np.array_equal(values, resampled(AUROC, [model, model], 20, 5))
    assert not np.array_equal(values, resampled(AUROC, [model, model], 20, 6))
