"""What is said of classes with few images, or with none in a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trainable.config import DataConfig
from trainable.data.balance import Balance
from trainable.data.datasets import load_dataset

pytestmark = pytest.mark.usefixtures("no_cached_data")

WriteClasses = Callable[..., Path]


def balance(*train: int, val: int = 9, test: int = 9) -> Balance:
    names = tuple("abcdefghijklmnop"[: len(train)])
    return Balance(names, tuple((count, val, test) for count in train))


def config_of(root: Path, rule: int = 2) -> DataConfig:
    return DataConfig(source="image_folder", root=root, image_size=12, split_rule=rule)


def test_each_class_is_listed_with_its_images_in_every_split() -> None:
    assert balance(30, 20).described == "a: 30 + 9 + 9, b: 20 + 9 + 9"


def test_of_several_labels_nothing_is_named_that_they_do_not_take() -> None:
    found = replace(balance(19, 30), several=True)
    (line,) = found.warnings()
    assert line.endswith(
        "consider objective.metric=val_map, train.class_weights=balanced, train.sampler=balanced"
    )


def test_of_many_classes_the_smallest_and_the_largest_are_listed() -> None:
    found = balance(50, 9, 7, *(20 + n for n in range(10)), 8)
    assert found.described == "c: 7, n: 8, b: 9, ... a: 50 training images"


@pytest.mark.parametrize("counts", [(20, 20), (20, 400), (100, 2000, 150)])
def test_nothing_is_said_of_classes_that_are_large_enough(counts: tuple[int, ...]) -> None:
    assert balance(*counts).warnings() == []


def test_few_images_of_a_class_are_said_with_the_keys_that_help() -> None:
    (line,) = balance(19, 500, 30).warnings()
    assert line == (
        "fewer than 20 training images of a (19); b has 26 times as many as a: accuracy says "
        "little of small classes; consider objective.metric=val_balanced_acc, "
        "train.class_weights=balanced, train.sampler=balanced"
    )
    (line,) = balance(21, 500).warnings({"train.sampler", "objective.metric"})
    assert line.endswith(
        "as a: accuracy says little of small classes; consider train.class_weights=balanced"
    )
    (line,) = balance(5, 6, 7, 8, 9).warnings(
        {"train.sampler", "objective.metric", "train.class_weights"}
    )
    assert line == (
        "fewer than 20 training images of a (5), b (6), c (7) and 2 more classes: accuracy says "
        "little of small classes"
    )


def test_a_class_that_is_missing_from_a_split_is_named() -> None:
    lines = balance(30, 30, test=0).warnings()
    assert lines == ["no test images of a, b: nothing tells how well they are known; give some"]
    (line,) = balance(30, 30, val=0).warnings()
    assert line.startswith("no validation images of a, b: no trial is chosen by them")


@pytest.mark.parametrize("few", [3, 4, 6])
def test_a_class_of_few_images_has_one_at_least_in_each_split(
    tmp_path: Path, write_classes: WriteClasses, few: int
) -> None:
    root = write_classes(tmp_path / "photos", {"common": 200, "rare": few})
    found = Balance.of(load_dataset(config_of(root)))
    assert min(found.counts[1]) >= 1
    assert sum(found.counts[1]) == few
    assert found.ratio > 20


def test_two_images_of_a_class_cannot_be_in_three_splits(
    tmp_path: Path, write_classes: WriteClasses
) -> None:
    """Else the class would be missing where models are judged, and none would be wrong about it."""
    root = write_classes(tmp_path / "photos", {"common": 200, "rare": 2})
    with pytest.raises(ValueError, match="with every class on both sides"):
        load_dataset(config_of(root))


def test_a_class_that_the_rule_of_old_searches_leaves_out_is_named(
    tmp_path: Path, write_classes: WriteClasses
) -> None:
    root = write_classes(tmp_path / "photos", {"common": 200, "rare": 2})
    lines = Balance.of(load_dataset(config_of(root, 1))).warnings()
    assert any(line.startswith("no test images of rare") for line in lines)
