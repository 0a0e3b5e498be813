"""A split belongs to the image: by its content, whatever happens around it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainable.config import DataConfig, TrialConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.forms.label_sets import rarest
from trainable.data.hashing import hash_pixels, uniform
from trainable.data.parts import SPLITS, Parts, SplitName
from trainable.data.split import Split
from trainable.data.splitting.content_split import ContentSplit

pytestmark = pytest.mark.usefixtures("no_cached_data")

WriteClasses = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write_classes: WriteClasses) -> Path:
    return write_classes(tmp_path / "photos", {"ants": 60, "bees": 60})


def load(root: Path, **changes: float) -> Dataset:
    load_dataset.cache_clear()
    given = {"source": "image_folder", "root": root, "image_size": 12, **changes}
    return load_dataset(DataConfig.model_validate(given))


def members(dataset: Dataset) -> dict[SplitName, set[int]]:
    return {name: set(dataset.split(name).hashes.tolist()) for name in SPLITS}


def parts_of(labels: list[int], hashes: list[int] | None = None, classes: int = 3) -> Parts:
    count = len(labels)
    of_images = np.arange(count) if hashes is None else np.array(hashes)
    return Parts(
        images={"train": np.zeros((count, 2, 2, 3), np.uint8)},
        labels={"train": np.array(labels)},
        classes=tuple("abcdefghij"[:classes]),
        hashes={"train": of_images.astype(np.uint64)},
    )


def split_of(parts: Parts, config: DataConfig) -> tuple[dict[SplitName, set[int]], tuple[str, ...]]:
    rule = ContentSplit(parts, parts.hashes["train"])
    indices = rule.indices(config)
    return {name: set(found.tolist()) for name, found in indices.items()}, rule.notes


def test_a_file_more_moves_no_other(folder: Path, write_classes: WriteClasses) -> None:
    before = members(load(folder))
    more = write_classes(folder.parent / "more", {"ants": 61, "bees": 70})
    shutil.copy(more / "ants" / "060.png", folder / "ants" / "000-first.png")

    after = members(load(folder))

    assert all(before[name] <= after[name] for name in SPLITS)
    assert sum(map(len, after.values())) == 121


def test_a_file_less_moves_no_other(folder: Path) -> None:
    before = members(load(folder))
    (folder / "ants" / "007.png").unlink()

    after = members(load(folder))

    assert all(after[name] <= before[name] for name in SPLITS)
    assert sum(map(len, after.values())) == 119


def test_under_rule_1_a_file_more_moved_many(folder: Path, write_classes: WriteClasses) -> None:
    before = members(load(folder, split_rule=1))
    more = write_classes(folder.parent / "more", {"ants": 61, "bees": 70})
    shutil.copy(more / "ants" / "060.png", folder / "ants" / "000-first.png")

    after = members(load(folder, split_rule=1))

    assert len(after["test"] & (before["train"] | before["val"])) > 10


def test_new_names_and_folders_change_nothing_at_all(folder: Path) -> None:
    before = load(folder)
    for number, path in enumerate(sorted((folder / "bees").iterdir())):
        below = folder / "bees" / f"day-{number % 3}"
        below.mkdir(exist_ok=True)
        path.rename(below / f"{100 - number}.png")
    folder = folder.rename(folder.with_name("elsewhere"))

    after = load(folder)

    assert after.fingerprint == before.fingerprint
    assert after.test_fingerprint() == before.test_fingerprint()
    assert [path.parent.name[:3] for path in after.test.files].count("day") > 0


@pytest.mark.parametrize("size", [8, 24])
def test_the_size_of_the_images_changes_no_split(folder: Path, size: int) -> None:
    assert members(load(folder, image_size=size)) == members(load(folder))


def test_another_share_of_validation_images_changes_no_test_image(folder: Path) -> None:
    few, many = (members(load(folder, val_fraction=share)) for share in (0.2, 0.4))

    assert few["test"] == many["test"]
    assert few["val"] < many["val"]


def test_another_share_of_test_images_leaves_validation_images_out_of_the_training(
    folder: Path,
) -> None:
    few, many = (members(load(folder, test_fraction=share)) for share in (0.2, 0.4))

    assert few["test"] < many["test"]
    assert many["val"] < few["val"]
    assert many["train"] < few["train"]


def test_a_limit_takes_the_same_images_after_one_more(
    folder: Path, write_classes: WriteClasses
) -> None:
    whole, before = members(load(folder)), members(load(folder, limit=50, split_rule=2))
    more = write_classes(folder.parent / "more", {"ants": 61, "bees": 70})
    shutil.copy(more / "ants" / "060.png", folder / "ants")

    after = members(load(folder, limit=50, split_rule=2))

    assert all(before[name] <= whole[name] for name in SPLITS)
    assert len(before["train"] | before["val"]) == len(after["train"] | after["val"]) == 50
    assert len((before["train"] | before["val"]) & (after["train"] | after["val"])) >= 48


def test_splits_of_many_images_are_of_the_size_asked_for() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, 30_000).tolist()
    split, notes = split_of(parts_of(labels), DataConfig(test_fraction=0.1, val_fraction=0.25))

    assert len(split["test"]) == pytest.approx(3000, rel=0.05)
    assert len(split["val"]) == pytest.approx(6750, rel=0.05)
    shares = [np.bincount(np.array(labels)[sorted(split[name])]) for name in SPLITS]
    assert all(counts.min() > 0.9 * counts.max() for counts in shares)
    assert notes == ()


@given(
    labels=st.lists(st.integers(0, 2), min_size=9, max_size=40),
    seed=st.integers(0, 2**32),
    test=st.floats(0.01, 0.99),
    val=st.floats(0.01, 0.99),
)
def test_every_class_is_in_every_split_or_it_is_said_that_it_cannot(
    labels: list[int], seed: int, test: float, val: float
) -> None:
    hashes = np.random.default_rng(seed).integers(0, 2**60, len(labels)).tolist()
    config = DataConfig(test_fraction=test, val_fraction=val)
    present, counts = np.unique(labels, return_counts=True)
    if counts.min() < 3:
        with pytest.raises(ValueError, match="each class needs"):
            split_of(parts_of(labels, hashes), config)
        return

    split, _ = split_of(parts_of(labels, hashes), config)

    assert sorted(index for found in split.values() for index in found) == list(range(len(labels)))
    for found in split.values():
        assert {labels[index] for index in found} == set(present.tolist())


def test_a_class_that_would_miss_a_split_is_named() -> None:
    split, notes = split_of(parts_of([0] * 50 + [1] * 3, classes=2), DataConfig())

    assert all({50, 51, 52} & found for found in split.values())
    assert notes[0].startswith("test split: of b it takes the images of the lowest numbers")


def test_of_many_classes_that_would_miss_a_split_a_few_are_named() -> None:
    labels = [label for label in range(9) for _ in range(3)]
    _, notes = split_of(parts_of(labels, classes=9), DataConfig(test_fraction=0.01))

    assert notes[0].startswith("test split: of a, b, c and 6 more classes it takes")
    assert len(notes) <= 2


def test_a_group_stays_in_one_split() -> None:
    parts = parts_of([0, 1] * 100, classes=2)
    groups = np.arange(200, dtype=np.uint64) // np.uint64(5)

    split = ContentSplit(parts, groups).indices(DataConfig())

    where = [{int(groups[index]) for index in found} for found in split.values()]
    assert sum(map(len, where)) == len(set.union(*where)) == 40


class TestLimit:
    @pytest.mark.parametrize("limit", [20, 40, 60])
    def test_one_that_would_drop_a_class_is_refused(self, limit: int) -> None:
        parts = parts_of([0] * 1000 + [1] * 10, classes=2)

        with pytest.raises(ValueError, match=rf"data\.limit={limit}\): it leaves class b [01] "):
            split_of(parts, DataConfig(limit=limit))

    def test_one_that_suffices_keeps_every_class(self) -> None:
        parts = parts_of([0] * 1000 + [1] * 10, classes=2)

        split, _ = split_of(parts, DataConfig(limit=150))

        assert all(max(found) >= 1000 > min(found) for found in split.values())

    def test_a_class_that_is_too_small_without_one_is_not_blamed_on_it(self) -> None:
        parts = parts_of([0] * 1000 + [1] * 2, classes=2)

        with pytest.raises(
            ValueError, match=r"images that are .* in b \(2\), .* needs 3"
        ) as refusal:
            split_of(parts, DataConfig(limit=40))
        assert "data.limit" not in str(refusal.value)

    def test_given_validation_images_one_image_of_a_class_suffices(self) -> None:
        parts = parts_of([0] * 100 + [1] * 10, classes=2)
        for arrays in (parts.images, parts.labels, parts.hashes):
            arrays["val"] = arrays["test"] = arrays["train"][95:105]
        rule = ContentSplit(parts, parts.hashes["train"])

        assert len(rule.indices(DataConfig(limit=12))["train"]) == 12
        with pytest.raises(ValueError, match=r"leaves class b 0 .* needs 1"):
            rule.indices(DataConfig(limit=2))

    @given(
        sizes=st.lists(st.integers(3, 40), min_size=2, max_size=4),
        seed=st.integers(0, 2**32),
        limit=st.integers(2, 160),
    )
    def test_the_one_that_is_said_to_suffice_does(
        self, sizes: list[int], seed: int, limit: int
    ) -> None:
        labels = np.repeat(np.arange(len(sizes)), sizes).tolist()
        hashes = np.random.default_rng(seed).integers(0, 2**60, len(labels)).tolist()
        parts = parts_of(labels, hashes, classes=4)
        try:
            split, _ = split_of(parts, DataConfig(limit=limit))
        except ValueError as refusal:
            said = re.search(r"give data\.limit=(\d+) or more", str(refusal))
            better = int(said[1]) if said else None
            assert better is None or better > limit
            split, _ = split_of(parts, DataConfig(limit=better))

        assert all(set(labels) == {labels[index] for index in each} for each in split.values())


class TestGivenSplits:
    @pytest.mark.parametrize(
        ("val", "reason"),
        [
            ([0, 1], "the val images that are given have none of c: put"),
            ([0, 1, 2, 3], "train .*of d"),
        ],
    )
    def test_one_that_lacks_a_class_is_refused(self, val: list[int], reason: str) -> None:
        parts = parts_of([0, 1, 2] * 5, classes=4)
        parts.images["val"] = parts.images["train"][: len(val)]
        parts.labels["val"], parts.hashes["val"] = np.array(val), parts.hashes["train"][: len(val)]

        with pytest.raises(ValueError, match=reason):
            split_of(parts, DataConfig())

    def test_a_class_of_two_images_beside_one_of_200_is_refused(self) -> None:
        with pytest.raises(
            ValueError, match=r"in b \(2\), and each class needs 3 \(for training, val"
        ):
            split_of(parts_of([0] * 200 + [1] * 2, classes=2), DataConfig())


class TestSeveralLabels:
    """Images that may have any number of labels, and are split by the rarest."""

    @pytest.fixture
    def parts(self) -> Parts:
        """Of all images c is a label, of one the only one, and of one there is none."""
        targets = np.zeros((62, 3), np.uint8)
        targets[:30, 0] = targets[30:60, 1] = targets[:61, 2] = 1
        parts = parts_of([0] * 62)
        parts.targets = {"train": targets}
        parts.labels = rarest(parts.targets)
        assert np.bincount(parts.labels["train"]).tolist() == [30, 30, 2]
        return parts

    def test_one_that_is_seldom_the_rarest_hinders_no_split(self, parts: Parts) -> None:
        splits, _ = split_of(parts, DataConfig())
        assert sum(map(len, splits.values())) == 62
        for of_split in splits.values():
            assert parts.targets["train"][list(of_split)].any(0).all()
        first = range(0, 62, 2), range(1, 62, 2)
        every = Split(
            torch.zeros(62, 3, 2, 2, dtype=torch.uint8),
            torch.from_numpy(parts.labels["train"]),
            groups=parts.hashes["train"],
            targets=parts.targets["train"],
        ).at(np.arange(61))  # of which one has c alone
        train, val = (every.at(np.array([n for n in each if n < 61])) for each in first)
        folded = Dataset(train, val, val, parts.classes, "a").folded("1/5")
        assert len(folded.val) > 0

    def test_one_that_is_rare_is_refused_by_the_images_that_have_it(self, parts: Parts) -> None:
        parts.targets["train"][2:, 2] = 0
        parts.labels = rarest(parts.targets)
        with pytest.raises(ValueError, match=r"in c \(2\), and each class needs 3"):
            split_of(parts, DataConfig())

    def test_of_given_splits_those_that_have_it_count(self, parts: Parts) -> None:
        for of in (parts.images, parts.labels, parts.hashes, parts.targets):
            of["val"] = of["train"][:60]  # type: ignore[index]
        splits, _ = split_of(parts, DataConfig())
        assert len(splits["val"]) == 60
        parts.targets["val"] = parts.targets["val"] * np.array([1, 1, 0], np.uint8)
        with pytest.raises(ValueError, match="the val images that are given have none of c: put"):
            split_of(parts, DataConfig())


class TestSharedGroups:
    """Duplicates under several labels, in classes with hardly any images."""

    def test_classes_of_four_that_share_groups_are_on_every_side(self) -> None:
        for seed in range(150):
            draw = np.random.default_rng(seed)
            labels = np.repeat(np.arange(3), 4)
            groups = draw.integers(0, 2**60, 9).astype(np.uint64)[draw.integers(0, 9, 12)]
            if feasible(labels, groups):
                found = ContentSplit(parts_of(labels.tolist()), groups).indices(DataConfig())
                assert all(set(labels[each]) == {0, 1, 2} for each in found.values()), seed

    def test_where_there_is_no_way_the_duplicates_are_named(self) -> None:
        parts = parts_of([0, 0, 0, 1, 1, 1, 2, 2, 2])
        parts.files["train"] = [Path(f"{number}.png") for number in range(9)]
        groups = np.array([1, 2, 3, 1, 2, 4, 3, 4, 5], np.uint64)
        assert not feasible(parts.labels["train"], groups)

        with pytest.raises(ValueError, match=r"shares duplicates with .*\.png.* one label"):
            ContentSplit(parts, groups).indices(DataConfig())


def feasible(labels: np.ndarray, groups: np.ndarray) -> bool:
    """Whether groups can be put into three splits such that each has every class."""
    classes = [
        sum(1 << int(label) for label in set(labels[groups == group])) for group in set(groups)
    ]
    reached = {(0, 0, 0)}
    for own in classes:
        reached = {
            tuple(have | own * (place == at) for place, have in enumerate(each))  # type: ignore[misc]
            for each in reached
            for at in range(3)
        }
    return (0b111,) * 3 in reached


def test_a_label_does_not_decide_the_split() -> None:
    split, _ = split_of(parts_of([0, 1] * 100, classes=2), DataConfig())
    other, _ = split_of(parts_of([1, 0] * 100, classes=2), DataConfig())

    assert split == other


def test_numbers_of_groups_are_uniform_and_unlike_for_each_purpose() -> None:
    groups = np.arange(20_000, dtype=np.uint64)
    test, val = uniform(groups, "test"), uniform(groups, "val")

    for numbers in (test, val):
        assert 0 <= numbers.min() < numbers.max() < 1
        assert np.histogram(numbers, 10, (0, 1))[0] == pytest.approx([2000] * 10, rel=0.1)
    assert abs(np.corrcoef(test, val)[0, 1]) < 0.03


def test_pixels_of_other_shapes_have_other_hashes() -> None:
    flat, tall = np.zeros((1, 4, 1, 3), np.uint8), np.zeros((1, 2, 2, 3), np.uint8)

    assert hash_pixels(flat) != hash_pixels(tall)


class TestRecordedRule:
    def test_a_new_config_has_rule_3(self) -> None:
        assert TrialConfig().data.split_rule == 3

    @pytest.mark.parametrize("recorded", [{}, {"data": {}}, {"data": {"image_size": 16}}])
    def test_a_recorded_trial_without_a_rule_has_rule_1(
        self, recorded: Mapping[str, object]
    ) -> None:
        assert TrialConfig.recorded(json.dumps(recorded)).data.split_rule == 1

    @pytest.mark.parametrize("rule", [1, 2, 3])
    def test_a_recorded_trial_keeps_its_rule(self, rule: int) -> None:
        trial = TrialConfig.model_validate({"data": {"split_rule": rule}})

        assert TrialConfig.recorded(trial.model_dump_json()) == trial

    @pytest.mark.parametrize("text", ["", "[]", "3", '{"data": 3}', '{"data": {"colour": 1}}'])
    def test_what_is_no_trial_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            TrialConfig.recorded(text)

    def test_another_rule_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            TrialConfig.model_validate({"data": {"split_rule": 4}})
