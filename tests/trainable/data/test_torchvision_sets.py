"""Data sets of torchvision by name: their own splits, labels and files, laid out as it has them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from torchvision import datasets

from trainable.config import DataConfig
from trainable.data.datasets import is_local, load_dataset
from trainable.data.forms.pairs import from_pairs
from trainable.data.forms.torchvision_sets import TorchvisionSet
from trainable.data.listing import Listing
from trainable.data.parts import Parts

WriteClasses = Callable[..., Path]


def loaded(name: str, root: Path, image_size: int = 16) -> Listing | Parts:
    return TorchvisionSet.named(name, root).load(image_size)


@pytest.fixture
def dtd(tmp_path: Path, write_classes: WriteClasses) -> Path:
    """The textures as torchvision extracts them, of two classes and two partitions."""
    base = tmp_path / "dtd" / "dtd"
    write_classes(base / "images", {"woven": 9, "dotted": 9})
    (base / "labels").mkdir()
    for partition in (1, 2):
        for place, split in enumerate(("train", "val", "test")):
            numbers = range(place * 3, place * 3 + 4 - partition)
            lines = [f"{name}/{n:03}.png\n" for name in ("woven", "dotted") for n in numbers]
            (base / "labels" / f"{split}{partition}.txt").write_text("".join(lines))
    return tmp_path


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    """Clothes as torchvision extracts them: thirty of ten classes, and ten for the test."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for name, count in (("train", 30), ("t10k", 10)):
        write_idx(
            raw / f"{name}-images-idx3-ubyte", draw.integers(0, 256, (count, 28, 28), np.uint8)
        )
        write_idx(raw / f"{name}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    return tmp_path


def test_a_set_of_files_is_a_listing_with_its_own_splits(dtd: Path) -> None:
    found = loaded("DTD", dtd)

    assert isinstance(found, Listing)
    assert found.classes == ("dotted", "woven")
    assert {name: len(files) for name, files in found.files.items()} == {
        "train": 6,
        "val": 6,
        "test": 6,
    }
    assert [path.parent.name for path in found.files["test"]] == ["woven"] * 3 + ["dotted"] * 3
    assert found.labels["test"].tolist() == [1] * 3 + [0] * 3


def test_an_option_is_given_to_the_set(dtd: Path) -> None:
    found = loaded("DTD?partition=2", dtd)
    assert isinstance(found, Listing)
    assert len(found.files["train"]) == 4


@pytest.mark.usefixtures("no_cached_data")
def test_it_is_trained_on_as_any_other(dtd: Path) -> None:
    config = DataConfig(source="torchvision", name="DTD", root=dtd, image_size=12)

    dataset = load_dataset(config)

    assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [6, 6, 6]
    assert dataset.test.files[0].parent.name in dataset.classes
    assert is_local(config)
    assert not is_local(config.model_copy(update={"root": dtd / "elsewhere"}))


def test_a_set_in_memory_is_arrays_with_its_test_split(fashion: Path) -> None:
    found = loaded("FashionMNIST", fashion, 28)

    assert isinstance(found, Parts)
    assert found.classes[9] == "Ankle boot"
    assert {name: x.shape for name, x in found.images.items()} == {
        "train": (30, 28, 28, 3),
        "test": (10, 28, 28, 3),
    }
    own = datasets.FashionMNIST(fashion, train=False)
    assert found.labels["test"].tolist() == own.targets.tolist()
    assert np.array_equal(found.images["test"][..., 0], own.data.numpy())


def test_large_images_that_are_no_files_are_held_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And are the same as if all had been held as they are until the last was read."""
    name = "FakeData?size=9&image_size=(3,90,60)&num_classes=2"
    given: list[tuple[object, ...]] = []

    def note(*arguments: Any) -> Parts:
        given.append(arguments)
        found = from_pairs(*arguments)
        assert isinstance(found, Parts)
        return found

    monkeypatch.setattr("trainable.data.forms.torchvision_sets.from_pairs", note)
    found = loaded(name, tmp_path, 28)

    assert isinstance(found, Parts)
    ((pairs, *_),) = given
    assert {image.size for image, _ in pairs["train"]} == {(32, 32)}  # type: ignore[index]
    whole = datasets.FakeData(9, (3, 90, 60), 2)
    expected = from_pairs({"train": [(image, int(label)) for image, label in whole]}, (), 28)
    assert isinstance(expected, Parts)
    assert np.array_equal(found.images["train"], expected.images["train"])


def test_images_that_are_opened_late_are_files(tmp_path: Path, write_classes: WriteClasses) -> None:
    base = write_classes(tmp_path / "caltech101" / "101_ObjectCategories", {"ant": 3, "bee": 3})
    (base / "BACKGROUND_Google").mkdir()
    for name in ("ant", "bee"):
        for number, path in enumerate(sorted((base / name).iterdir()), 1):
            Image.open(path).save(base / name / f"image_{number:04}.jpg")
            path.unlink()
    (tmp_path / "caltech101" / "Annotations").mkdir()

    found = loaded("Caltech101", tmp_path)

    assert isinstance(found, Listing)
    assert [path.name for path in found.files["train"][:2]] == ["image_0001.jpg", "image_0002.jpg"]
    assert found.labels["train"].tolist() == [0, 0, 0, 1, 1, 1]
    assert found.classes == ("ant", "bee")


def test_a_set_whose_splits_have_other_names_has_them(
    tmp_path: Path, write_classes: WriteClasses
) -> None:
    for split, count in (("train", 4), ("valid", 2), ("test", 3)):
        write_classes(tmp_path / "country211" / split, {"AD": count, "AE": count})

    found = loaded("Country211", tmp_path)

    assert isinstance(found, Listing)
    assert {name: len(files) for name, files in found.files.items()} == {
        "train": 8,
        "val": 4,
        "test": 6,
    }


def test_a_set_of_one_part_and_several_sizes_is_split_here(tmp_path: Path) -> None:
    found = loaded("FakeData?size=12&num_classes=3&image_size=(3,10,20)", tmp_path, 16)

    assert isinstance(found, Parts)
    assert found.images["train"].shape == (12, 18, 18, 3)
    assert set(found.classes) <= {"0", "1", "2"}


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            (
                "flowers102",
                r"data\.name=flowers102: torchvision has no such data set; nearest: Flow",
            ),
            ("x", r"no such data set: give one of .*CIFAR100, "),
            ("VisionDataset", "no such data set"),
            ("EMNIST", r"EMNIST needs split: give data\.name='EMNIST\?split=\.\.\.'"),
            ("DTD?part=2", r"DTD has no such option; it has split, partition"),
            ("DTD?root=/etc", r"has no such option"),
            ("CocoDetection", r"needs annFile: give"),
        ],
    )
    def test_a_name_that_is_none(self, tmp_path: Path, name: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            loaded(name, tmp_path)

    def test_what_cannot_be_downloaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(datasets.DTD, "_URL", (tmp_path / "no-such-server").as_uri())
        with pytest.raises(
            ValueError, match=r"torchvision's DTD is not in .*here, and could not be .*data\.root$"
        ):
            loaded("DTD", tmp_path / "here")

    def test_a_set_without_one_label_an_image(self, tmp_path: Path) -> None:
        base = tmp_path / "Kitti" / "raw"
        for folder in ("training/image_2", "training/label_2", "testing/image_2"):
            (base / folder).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(base / "training" / "image_2" / "0.png")
        (base / "training" / "label_2" / "0.txt").write_text("Car 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n")
        with pytest.raises(
            ValueError, match=r"data\.name=Kitti: it is no set of images with one la"
        ):
            loaded("Kitti", tmp_path)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"source": "torchvision"}, r"data\.name is required .*; give data\.name=Flowers102"),
            (
                {"source": "digits", "name": "DTD"},
                r"data\.name=DTD means nothing with data\.source=d",
            ),
        ],
    )
    def test_a_name_that_is_missing_or_means_nothing(
        self, given: dict[str, str], said: str
    ) -> None:
        with pytest.raises(ValidationError, match=said):
            DataConfig.model_validate(given)


def test_digits_and_letters_are_not_mirrored() -> None:
    mirrored = {
        name: DataConfig(source="torchvision", name=name).mirrors
        for name in ("DTD", "MNIST", "EMNIST?split=balanced")
    }
    assert mirrored == {"DTD": True, "MNIST": False, "EMNIST?split=balanced": False}
