"""Hugging Face's data sets on disk: saved, Parquet and imagefolder, each with its splits."""

from __future__ import annotations

import builtins
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.data.forms.huggingface import list_huggingface

WriteClasses = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def package() -> Any:
    package = pytest.importorskip("datasets")
    package.disable_progress_bars()
    return package


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (12, 12, 3), np.uint8)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


@pytest.fixture
def rows(package: Any) -> Callable[..., Any]:
    def make(first: int, count: int, label: Callable[[int], int | None] = lambda n: n % 2) -> Any:
        kinds = {
            "image": package.Image(),
            "label": package.ClassLabel(names=["wasp", "ant"]),
            "patient": package.Value("string"),
        }
        numbers = range(first, first + count)
        columns = {
            "image": [{"bytes": png(n), "path": None} for n in numbers],
            "label": [label(n) for n in numbers],
            "patient": [f"p{n // 4}" if n else None for n in numbers],
        }
        return package.Dataset.from_dict(columns, features=package.Features(kinds))

    return make


@pytest.fixture
def saved(tmp_path: Path, package: Any, rows: Callable[..., Any]) -> Path:
    parts = {"train": rows(0, 16), "validation": rows(16, 8), "test": rows(24, 8)}
    package.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_a_saved_one_has_its_splits_and_the_names_of_its_classes(saved: Path) -> None:
    found = list_huggingface(saved)

    assert {name: len(files) for name, files in found.files.items()} == {
        "train": 16,
        "val": 8,
        "test": 8,
    }
    assert found.classes == ("wasp", "ant")
    assert found.labels["val"].tolist() == [0, 1] * 4
    assert found.files["val"][3].read_bytes() == png(19)
    assert found.files["val"][3].suffix == ".png"


def test_images_within_it_are_written_once(saved: Path) -> None:
    first = list_huggingface(saved).files["train"]
    before = [path.stat().st_mtime_ns for path in first]
    again = list_huggingface(saved).files["train"]
    assert (again, [path.stat().st_mtime_ns for path in again]) == (first, before)
    first[3].unlink()
    assert list_huggingface(saved).files["train"][3].read_bytes() == png(3)


def test_where_the_package_may_keep_sets_in_memory_no_split_has_anothers_images(
    saved: Path, package: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package.config, "IN_MEMORY_MAX_SIZE", 10**9)
    found = list_huggingface(saved)
    assert found.files["val"][0].read_bytes() == png(16)
    assert found.files["test"][0].read_bytes() == png(24)


def test_a_folder_of_parquet_is_one(tmp_path: Path, rows: Callable[..., Any]) -> None:
    for name, first in (("train", 0), ("test", 8)):
        (tmp_path / "parquet" / "data").mkdir(parents=True, exist_ok=True)
        path = tmp_path / "parquet" / "data" / f"{name}-00000-of-00001.parquet"
        rows(first, 8).to_parquet(str(path))

    found = list_huggingface(tmp_path / "parquet")

    assert list(found.files) == ["train", "test"]
    assert [path.read_bytes() for path in found.files["test"]] == [png(n) for n in range(8, 16)]


def test_an_imagefolder_stays_files(
    tmp_path: Path, package: Any, write_classes: WriteClasses
) -> None:
    for name in ("train", "validation"):
        write_classes(tmp_path / "folder" / name, {"ants": 3, "bees": 3})

    found = list_huggingface(tmp_path / "folder")

    assert found.classes == ("ants", "bees")
    assert all(path.is_relative_to(tmp_path / "folder") for path in found.files["val"])


@pytest.mark.usefixtures("no_cached_data")
def test_groups_are_of_a_column(tmp_path: Path, rows: Callable[..., Any]) -> None:
    rows(0, 48).save_to_disk(str(tmp_path / "alone"))
    config = DataConfig(
        source="huggingface", root=tmp_path / "alone", group="patient", image_size=12
    )

    dataset = load_dataset(config)

    where = [
        {int(path.stem) // 4 for path in dataset.split(name).files if int(path.stem)}
        for name in ("train", "val", "test")
    ]
    assert sum(map(len, where)) == len(set.union(*where)) == 12


def test_a_split_without_labels_is_left_out(
    tmp_path: Path, package: Any, rows: Callable[..., Any]
) -> None:
    parts = {"train": rows(0, 8), "test": rows(8, 4, lambda _: -1), "extra": rows(12, 2)}
    package.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))

    found = list_huggingface(tmp_path / "saved")

    assert list(found.files) == ["train"]
    assert found.notes == (
        "left out: splits that are none of train, val, test (extra)",
        "the test images have no labels: left out",
    )


class TestRefused:
    def test_an_image_without_a_label(self, tmp_path: Path, rows: Callable[..., Any]) -> None:
        rows(0, 8, lambda n: n % 2 if n else -1).save_to_disk(str(tmp_path / "saved"))
        with pytest.raises(ValueError, match="column label has rows without a label: leave"):
            list_huggingface(tmp_path / "saved")

    def test_columns_that_are_no_images_and_labels(self, tmp_path: Path, package: Any) -> None:
        package.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "saved"))
        with pytest.raises(ValueError, match=r"of the kind Image, and one .*it has text \(Value\)"):
            list_huggingface(tmp_path / "saved")

    def test_a_column_of_groups_that_is_not_there(self, saved: Path) -> None:
        with pytest.raises(ValueError, match=r"data\.group=camera: .*no such column; it has image"):
            list_huggingface(saved, "camera")

    def test_a_data_set_without_training_images(
        self, tmp_path: Path, package: Any, rows: Callable[..., Any]
    ) -> None:
        package.DatasetDict({"test": rows(0, 4)}).save_to_disk(str(tmp_path / "saved"))
        with pytest.raises(ValueError, match="has no split train: it has test"):
            list_huggingface(tmp_path / "saved")

    def test_a_folder_that_is_no_data_set(self, tmp_path: Path, package: Any) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match=r"empty cannot be read as a data set \("):
            list_huggingface(tmp_path / "empty")

    def test_without_the_package_the_command_that_installs_it_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = builtins.__import__

        def without(name: str, *args: Any) -> Any:
            if name == "datasets":
                raise ImportError(name)
            return known(name, *args)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ValueError, match=r"package: pip install 'resnet-tune\[huggingface\]'$"):
            list_huggingface(tmp_path)
