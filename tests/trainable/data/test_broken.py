"""Files that cannot be read as images: named all at once, or left out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.helpers.images import write_folders
from tests.helpers.label_sets import write_table
from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.decoding import files as files_module
from trainable.data.decoding.broken import NAMED
from trainable.data.decoding.image_file import ImageError, read_square
from trainable.data.parts import SPLITS
from trainable.runtime import ImageCache

pytestmark = pytest.mark.usefixtures("no_cached_data")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_folders(tmp_path / "photos", ["ants", "bees"], 30)
    return tmp_path / "photos"


def load(root: Path, cache: ImageCache | None = None, **changes: Any) -> Dataset:
    load_dataset.cache_clear()
    config = DataConfig(**{"source": "image_folder", "root": root, "image_size": 16, **changes})
    return load_dataset(config, cache or ImageCache(max_bytes=0))


def break_some(root: Path, count: int, name: str = "ants") -> list[Path]:
    """Make some files break off."""
    broken = sorted((root / name).iterdir())[:count]
    for path in broken:
        path.write_bytes(path.read_bytes()[:100])
    return broken


def files_of(dataset: Dataset) -> set[Path]:
    return {path for name in SPLITS for path in dataset.split(name).files}


def test_all_of_them_are_named_at_once(root: Path) -> None:
    broken = [*break_some(root, 2), *break_some(root, 1, "bees")]
    broken[0].write_text("words")

    with pytest.raises(ImageError, match="3 files cannot be read as images: ") as told:
        load(root)

    assert all(str(path) in str(told.value) for path in broken)
    assert "0.png (it is text); " in str(told.value)
    assert str(told.value).endswith(
        ": repair or remove them, or leave them out with data.on_error=skip"
    )
    assert "\n" not in str(told.value)


def test_a_single_one_is_named_with_what_to_do(root: Path) -> None:
    (broken,) = break_some(root, 1)

    with pytest.raises(ImageError) as told:
        load(root)

    assert str(told.value).startswith(f"{broken} cannot be read as an image (")
    assert str(told.value).endswith("or remove it, or leave it out with data.on_error=skip")


def test_of_many_the_first_are_named_and_the_others_counted(root: Path) -> None:
    break_some(root, NAMED + 5)

    more = r"25 files cannot .*; and 5 more, which python -m tune\.data --json names: repair"
    with pytest.raises(ImageError, match=more) as told:
        load(root)

    assert str(told.value).count(".png") == NAMED


@pytest.mark.parametrize("stored", [False, True])
def test_they_are_left_out_where_that_is_asked_for(
    root: Path, tmp_path: Path, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainable.data.decoding.decoded.LEAST_BYTES", 0)  # so few are stored too
    cache = ImageCache(str(tmp_path / "cache"), 10**9 if stored else 0)
    broken = [*break_some(root, 3), *break_some(root, 1, "bees")]
    labels = {path: path.parent.name for path in root.rglob("*.png")}

    dataset = load(root, cache, on_error="skip")

    assert files_of(dataset) == labels.keys() - set(broken)
    assert dataset.skipped == 4
    (note,) = [each for each in dataset.notes if "on_error" in each]
    assert note.startswith("data.on_error=skip leaves out 4 of 60 files, which cannot be read as ")
    assert all(f" {path.relative_to(root)} (" in note for path in broken)
    for name in SPLITS:
        split = dataset.split(name)
        named = [dataset.classes[label] for label in split.labels.tolist()]
        assert named == [labels[path] for path in split.files]
        assert len(split.images) == len(split.files) == len(split.hashes)


@pytest.mark.parametrize("stored", [False, True])
def test_what_is_left_is_the_data(
    root: Path, tmp_path: Path, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fingerprint and its splits are those of a folder without the broken files."""
    monkeypatch.setattr("trainable.data.decoding.decoded.LEAST_BYTES", 0)
    cache = ImageCache(str(tmp_path / "cache"), 10**9 if stored else 0)
    whole = load(root, cache)
    broken = break_some(root, 3)
    some = load(root, cache, on_error="skip")
    again = load(root, cache, on_error="skip")
    for path in broken:
        path.unlink()
    fewer = load(root, cache)

    assert some.fingerprint == again.fingerprint == fewer.fingerprint != whole.fingerprint
    for name in SPLITS:
        assert some.split(name).files == fewer.split(name).files
        assert torch.equal(some.split(name).images[:], fewer.split(name).images[:])


def test_groups_and_weights_stay_with_their_images(root: Path) -> None:
    table = root / "labels.csv"
    paths = sorted(root.rglob("*.png"))
    rows = [
        f"{path},{path.parent.name},{number % 7},{number + 1}" for number, path in enumerate(paths)
    ]
    table.write_text("\n".join(["path,label,camera,weight", *rows]))
    break_some(root, 3)

    dataset = load(table, source="table", group="camera", on_error="skip")

    weights = {path: float(number) for number, path in enumerate(paths, 1)}
    together: dict[int, set[int]] = {}
    for name in SPLITS:
        split = dataset.split(name)
        assert split.weights.tolist() == [weights[path] for path in split.files]
        for path, mark in zip(split.files, split.together.tolist(), strict=True):
            together.setdefault(mark, set()).add(paths.index(path) % 7)
    assert all(len(cameras) == 1 for cameras in together.values())
    assert len(together) == 7


def test_a_class_that_loses_all_its_images_is_an_error(root: Path) -> None:
    broken = break_some(root, 30, "bees")

    with pytest.raises(
        ImageError, match=r"data\.on_error=skip leaves no image of 'bees' in train: "
    ) as told:
        load(root, on_error="skip")

    assert str(broken[0]) in str(told.value)


@pytest.mark.parametrize("split", [(), ("train", "val", "test")])
def test_each_of_several_labels_stays_with_its_image(
    tmp_path: Path, split: tuple[str, ...]
) -> None:
    table = write_table(tmp_path, 60, split=split)
    with table.open(newline="") as file:
        said = {tmp_path / row["path"]: row["label"] for row in csv.DictReader(file)}
    broken = break_some(tmp_path, 1, "images")

    dataset = load(table, source="table", labels="several", on_error="skip")

    assert files_of(dataset) == said.keys() - set(broken)
    for each in map(dataset.split, SPLITS):
        for path, row in zip(each.files, each.targets, strict=True):
            assert "|".join(np.array(dataset.classes)[row > 0]) == said[path]


def test_one_of_several_labels_that_loses_all_its_images_is_an_error(tmp_path: Path) -> None:
    """Also one that is the rarest of no image, by which these are split."""
    write_folders(tmp_path, ["images"], 20)
    labels = ["east|twin", "east|twin", "twin|west", "twin|west", "east", "west", *["usual"] * 14]
    rows = [f"images/{number}.png,{label}" for number, label in enumerate(labels)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    for number in range(4):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"words")

    with pytest.raises(ImageError, match=r"leaves no image of 'twin' in train: .*0\.png"):
        load(tmp_path / "labels.csv", source="table", labels="several", on_error="skip")


def test_whole_files_are_not_read_twice_to_leave_out_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_some(root, 3)
    read: list[Path] = []
    facts_of = files_module.facts_of
    monkeypatch.setattr(
        files_module, "facts_of", lambda some, ids: (read.extend(some), facts_of(some, ids))[1]
    )

    load(root, on_error="skip")

    assert len(read) == len(set(read)) == 60


def test_nothing_is_said_where_nothing_is_broken(root: Path) -> None:
    assert load(root, on_error="skip").notes == load(root).notes


def test_another_value_is_refused() -> None:
    with pytest.raises(ValidationError, match="'fail' or 'skip'"):
        DataConfig(on_error="ignore")  # type: ignore[arg-type]


def test_pixels_are_those_of_the_files(root: Path) -> None:
    """None slipped by a row when others were left out."""
    break_some(root, 2)
    dataset = load(root, on_error="skip")
    for file, image in zip(dataset.train.files, dataset.train.images[:], strict=True):
        expected = torch.from_numpy(np.array(read_square(file, 12))).permute(2, 0, 1)
        assert torch.equal(image, expected)
