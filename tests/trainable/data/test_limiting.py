"""`data.limit` of files reads so many, and no more."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.label_sets import write_table
from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.decoding import files
from trainable.data.decoding.facts import Facts, facts_of
from trainable.data.listing import Listing
from trainable.data.parts import SPLITS
from trainable.data.splitting.limiting import given_by, limited

pytestmark = pytest.mark.usefixtures("no_cached_data")


def config(root: Path, **changes: object) -> DataConfig:
    given = {"source": "image_folder", "root": root, "image_size": 12, **changes}
    return DataConfig.model_validate(given)


def listing(**sizes: int) -> Listing:
    names = [f"{name}/{n}.png" for name, size in sizes.items() for n in range(size)]
    labels = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    return Listing({"train": [Path("/data", name) for name in names]}, {"train": labels}, (*sizes,))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found = list[Path]()

    def note(some: Sequence[Path], identities: NDArray[np.uint64]) -> Facts:
        found.extend(some)
        return facts_of(some, identities)

    monkeypatch.setattr(files, "facts_of", note)
    return found


def of_all(dataset: Dataset) -> list[Path]:
    return [file for name in SPLITS for file in dataset.split(name).files]


def test_no_more_files_are_read_than_the_limit(
    tmp_path: Path, write_classes: Callable[..., Path], read: list[Path]
) -> None:
    root = write_classes(tmp_path / "all", {"ants": 60, "bees": 30})

    dataset = load_dataset(config(root, limit=30))

    assert len(read) == 30
    assert sorted(read) == sorted(of_all(dataset))
    assert Counter(file.parent.name for file in read) == {"ants": 20, "bees": 10}
    assert all(len(dataset.split(name)) for name in SPLITS)


def test_each_image_is_in_the_split_that_it_is_in_without_a_limit(
    tmp_path: Path, write_classes: Callable[..., Path]
) -> None:
    root = write_classes(tmp_path / "all", {"ants": 60, "bees": 60})
    whole, some = load_dataset(config(root)), load_dataset(config(root, limit=60))

    sides = {file: name for name in SPLITS for file in whole.split(name).files}
    assert all(sides[file] == name for name in SPLITS for file in some.split(name).files)


def test_rule_2_reads_all_as_searches_before_rule_3_did(
    tmp_path: Path, write_classes: Callable[..., Path], read: list[Path]
) -> None:
    root = write_classes(tmp_path / "all", {"ants": 20, "bees": 20})

    dataset = load_dataset(config(root, limit=16, split_rule=2))

    assert len(read) == 40
    assert len(dataset.train) + len(dataset.val) == 16
    assert dataset.test.files == load_dataset(config(root)).test.files


@pytest.mark.parametrize("limit", [None, 1000])
def test_without_a_limit_that_cuts_rules_2_and_3_are_one(
    tmp_path: Path, write_classes: Callable[..., Path], limit: int | None
) -> None:
    root = write_classes(tmp_path / "all", {"ants": 20, "bees": 20})
    changes = {} if limit is None else {"limit": limit}

    found = [load_dataset(config(root, split_rule=rule, **changes)) for rule in (2, 3)]

    assert found[0].fingerprint == found[1].fingerprint
    assert load_dataset(DataConfig(limit=300)).fingerprint == (
        load_dataset(DataConfig(limit=300, split_rule=2)).fingerprint
    )


def test_splits_that_the_data_has_are_not_cut(
    tmp_path: Path, write_classes: Callable[..., Path]
) -> None:
    for name, count in (("train", 20), ("val", 6), ("test", 8)):
        write_classes(tmp_path / "all" / name, {"ants": count, "bees": count})

    dataset = load_dataset(config(tmp_path / "all", limit=10))

    assert [len(dataset.split(name)) for name in SPLITS] == [10, 12, 16]


def test_the_same_files_are_taken_wherever_they_lie(
    tmp_path: Path, write_classes: Callable[..., Path]
) -> None:
    first = write_classes(tmp_path / "here", {"ants": 20, "bees": 20})
    second = shutil.copytree(first, tmp_path / "far" / "away")
    given = [given_by(config(root, limit=12)) for root in (first, second)]

    names = [
        [path.relative_to(tmp_path).parts[-2:] for path in each.files["train"]] for each in given
    ]
    assert names[0] == names[1]


def test_the_same_files_are_taken_from_within_their_folder(
    tmp_path: Path, write_classes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_classes(tmp_path / "all", {"ants": 20, "bees": 20})
    without = given_by(config(root, limit=12)).files["train"]
    monkeypatch.chdir(root)
    within = given_by(config(Path(), limit=12)).files["train"]
    assert [path.absolute() for path in within] == without


def test_names_may_be_no_utf_8(tmp_path: Path, write_classes: Callable[..., Path]) -> None:
    root = write_classes(tmp_path / "all", {"ants": 20, "bees": 20})
    for number in range(10):
        odd = os.fsdecode(b"\xe9t\xe9-%d.png" % number)
        (root / "ants" / f"{number:03}.png").rename(root / "ants" / odd)

    dataset = load_dataset(config(root, limit=20, group=r"([^/]*)\.png$"))

    assert len(of_all(dataset)) == 20
    assert any("\udce9" in str(path) for path in of_all(dataset))


def test_of_more_files_those_of_before_are_taken_but_for_new_ones() -> None:
    before, after = limited(listing(a=40, b=40), 20), limited(listing(a=44, b=44), 20)

    gone = set(before.files["train"]) - set(after.files["train"])
    new = set(after.files["train"]) - set(before.files["train"])
    assert len(gone) == len(new) <= 4
    assert all(int(path.stem) >= 40 for path in new)


def test_what_a_listing_says_of_its_files_stays_with_them() -> None:
    given = listing(a=9, b=9)
    names = [path.as_posix() for path in given.files["train"]]
    given = Listing(
        given.files,
        given.labels,
        given.classes,
        groups={"train": names},
        weights={"train": np.arange(18.0)},
    )

    found = limited(given, 8)

    paths = found.files["train"]
    assert list(found.groups["train"]) == [path.as_posix() for path in paths]
    assert [names[int(weight)] for weight in found.weights["train"]] == found.groups["train"]
    assert found.labels["train"].tolist() == [path.parent.name == "b" for path in paths]


@pytest.mark.parametrize("rule", [2, 3])
def test_each_of_several_labels_stays_with_its_image(tmp_path: Path, rule: int) -> None:
    table = write_table(tmp_path, 120)
    with table.open(newline="") as file:
        said = {tmp_path / row["path"]: row["label"] for row in csv.DictReader(file)}

    found = load_dataset(config(table, source="table", labels="several", limit=40, split_rule=rule))

    taken = [(found.split(n), row) for n in SPLITS for row in range(len(found.split(n)))]
    assert len(taken) < 120
    for split, row in taken:
        labels = [found.classes[label] for label in np.flatnonzero(split.targets[row])]
        assert "|".join(labels) == said[split.files[row]]


def test_several_labels_an_image_are_limited_in_proportion_to_the_rarest() -> None:
    given = listing(a=40, b=20)
    targets = np.eye(2, dtype=np.uint8)[given.labels["train"]]

    found = limited(replace(given, targets={"train": targets}), 15)

    assert found.targets["train"].sum(0).tolist() == [10, 5]
    assert found.targets["train"].argmax(1).tolist() == found.labels["train"].tolist()


@pytest.mark.parametrize("what", ["labels", "groups", "weights", "targets"])
def test_a_source_that_does_not_say_something_of_each_file_is_refused(what: str) -> None:
    given = listing(a=4, b=4)

    with pytest.raises(ValueError, match=f"gives 8 files in train and 7 {what}: give one for"):
        replace(given, **{what: {"train": np.ones(7, np.int64)}})


def test_a_limit_that_leaves_a_class_too_few_names_one_that_does_not() -> None:
    with pytest.raises(
        ValueError, match=r"takes 0 files of class b, .* 3, .* data.limit=43 or"
    ) as e:
        limited(listing(a=80, b=6), 4)
    assert "data.limit=4 " in str(e.value)

    assert Counter(limited(listing(a=80, b=6), 43).labels["train"].tolist()) == {0: 40, 1: 3}
