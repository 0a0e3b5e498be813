"""Test images as the page shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.helpers.results import dataset_of
from trainable.judging.predictions import Predictions
from tune.webapp.examples import HeldOut, mistakes

NAMES = ("red", "round", "big")


def test_an_image_is_of_its_class() -> None:
    held_out = HeldOut(dataset_of(NAMES).test, NAMES)
    assert [held_out.picture(number).truth for number in range(4)] == [*NAMES, "red"]


def test_an_image_with_several_labels_has_all_of_them() -> None:
    split = dataset_of(NAMES).test
    targets = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 0]], np.uint8)
    held_out = HeldOut(replace(split, targets=targets), NAMES)
    truths = [held_out.picture(number).truth for number in range(4)]
    assert truths == ["red|big", "", "round", "red|round|big"]
    logits = torch.from_numpy(targets).float() * 4 - 2
    logits[2, 0] = 3.0
    test = Predictions(logits, split.labels, torch.from_numpy(targets).bool())
    assert [picture.name for picture in mistakes(held_out, test)] == ["Test image 2"]
