"""Rule 1 of the split: what is said where it cannot be, and of what it leaves out."""

from __future__ import annotations

import re

import numpy as np
import pytest

from trainable.config import DataConfig
from trainable.data.parts import Parts
from trainable.data.splitting.random_split import missing_classes, split_at_random


def parts_of(sizes: list[int]) -> Parts:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return Parts(
        images={"train": np.zeros((len(labels), 2, 2, 3), np.uint8)},
        labels={"train": labels},
        classes=tuple(f"class {number}" for number in range(len(sizes))),
    )


def test_200_classes_of_5_images_are_split_by_the_fraction_that_is_said() -> None:
    parts = parts_of([5] * 200)
    with pytest.raises(ValueError, match=r"data\.val_fraction=0\.2\): there are 200 .*0\.25$"):
        split_at_random(parts, DataConfig(split_rule=1))

    found = split_at_random(parts, DataConfig(split_rule=1, val_fraction=0.25))

    assert missing_classes(parts, found) == ()


@pytest.mark.parametrize("fraction", [0.01, 0.99])
@pytest.mark.parametrize("sizes", [[40] * 10, [7] * 30, [200, 20, 30]])
def test_a_fraction_that_is_said_to_work_does(sizes: list[int], fraction: float) -> None:
    given = {"split_rule": 1, "val_fraction": 0.3, "test_fraction": fraction}
    parts = parts_of(sizes)
    for _ in range(2):
        try:
            split_at_random(parts, DataConfig.model_validate(given))
        except ValueError as refusal:
            key, value = re.search(r"give data\.(\w+)=([\d.]+)$", str(refusal)).groups()  # type: ignore[union-attr]
            given[key] = float(value)
    split_at_random(parts, DataConfig.model_validate(given))


def test_a_class_of_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="a class has a single one, and needs 2; add images"):
        split_at_random(parts_of([9, 1]), DataConfig(split_rule=1))


def test_a_rare_class_that_a_split_lacks_is_named() -> None:
    parts = parts_of([200, 3])
    found = split_at_random(parts, DataConfig(split_rule=1, test_fraction=0.1))

    notes = missing_classes(parts, found)

    assert notes
    assert notes[0].startswith("test split: no image of class 1, which is not judged there;")


def test_groups_are_refused() -> None:
    parts = parts_of([9, 9])
    parts.groups["train"] = ["a"] * 18
    with pytest.raises(ValueError, match="the data has groups that must stay together: leave"):
        split_at_random(parts, DataConfig(split_rule=1))
