"""Which images an epoch shows, with every class equally often."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainable.features.order import balanced_order

LABELS = torch.repeat_interleave(torch.tensor([0, 1, 3]), torch.tensor([80, 19, 2]))


def order(seed: int, labels: Tensor = LABELS) -> Tensor:
    return balanced_order(labels, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_every_class_that_has_images_is_shown_equally_often(seed: int) -> None:
    found = order(seed)
    assert len(found) == len(LABELS)
    shown = torch.bincount(LABELS[found])
    assert shown[2] == 0
    assert sorted(shown[[0, 1, 3]].tolist()) == [33, 34, 34]


def test_of_a_class_each_image_is_shown_equally_often() -> None:
    often = torch.bincount(order(0), minlength=len(LABELS))
    for label in (0, 1, 3):
        of_class = often[label == LABELS]
        assert of_class.max() - of_class.min() <= 1
    assert often[LABELS == 3].min() >= 16


def test_in_the_course_of_epochs_all_images_of_a_large_class_are_shown() -> None:
    shown = torch.cat([order(seed) for seed in range(15)]).unique()
    assert len(shown) == len(LABELS)


def test_classes_are_mixed_and_a_seed_repeats_them() -> None:
    found = order(3)
    assert torch.equal(found, order(3))
    assert not torch.equal(found, order(4))
    assert (LABELS[found].diff() != 0).float().mean() > 0.5


def test_there_may_be_more_classes_than_images() -> None:
    assert sorted(order(0, torch.tensor([4, 2])).tolist()) == [0, 1]
