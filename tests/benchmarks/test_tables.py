"""The benchmark of tables: how it groups photographs, and how it pairs images."""

from __future__ import annotations

import csv
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from tests.helpers.commands import REPOSITORY


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")  # it imports another by its name
    import tables  # noqa: PLC0415

    yield tables
    for name in ("tables", "searches"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("374435068_7eee412ec4.jpg", "3744"),
        ("374499999_0000000000.jpg", "3744"),
        ("0013035.jpg", "00"),
        ("13035.jpg", "13035"),
        ("Ant_1.jpg", "Ant_1"),
    ],
)
def test_a_photograph_is_grouped_by_its_number(tables: ModuleType, name: str, group: str) -> None:
    assert tables.group_of(Path("ants") / name) == group


def test_a_pair_has_two_images_of_two_classes_and_both_labels(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = {"cat": (200, 0, 0), "dog": (0, 200, 0), "ship": (0, 0, 200)}
    for split in ("train", "test"):
        for label, colour in colours.items():
            folder = tmp_path / "few" / split / label
            folder.mkdir(parents=True)
            for number in range(8):
                Image.new("RGB", (32, 32), colour).save(folder / f"{number}.png")
    with tarfile.open(tmp_path / "few.tar", "w") as archive:
        archive.add(tmp_path / "few", "few")
    monkeypatch.setattr(tables, "TRAINED", 4)
    monkeypatch.setattr(tables, "TESTED", 2)
    path = tables.paired(tmp_path / "few.tar", tmp_path / "pairs")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"train", "test"}
    for row in rows:
        one, other = row["label"].split("|")
        with Image.open(path.parent / row["path"]) as image:
            assert image.size == (64, 64)
            sides = {image.getpixel((16, 32)), image.getpixel((48, 32))}
        assert sides == {colours[one], colours[other]}
