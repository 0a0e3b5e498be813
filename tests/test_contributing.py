"""What pages for people name, beside what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY

TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text()


def test_every_path_that_is_named_exists() -> None:
    paths = re.findall(r"`((?:trainable|tune|tests|docs|benchmarks|\.ci)/[\w./]*)`", TEXT)
    assert len(paths) > 30
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    rooms = "trainable|tune|tests|docs|benchmarks|configs|deploy"
    named = re.findall(rf"(?<![\w/.])(?:{rooms})/[\w/]+\.(?:py|ya?ml|md)", page.read_text())
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_every_room_is_on_the_map() -> None:
    for package in ("trainable", "tune"):
        folders = {path.parent for path in (REPOSITORY / package).glob("*/*.py")}
        rooms = {f"`{folder.relative_to(REPOSITORY)}/`" for folder in folders}
        assert rooms
        assert {room for room in rooms if f"| {room} |" not in TEXT} == set()


def test_every_target_of_make_that_is_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = " ".join(re.findall(r"^make ([a-z ]+)", TEXT, re.MULTILINE))
    assert set(named.split()) <= targets


def test_the_nightly_target_runs_every_nightly_test() -> None:
    (below,) = re.findall(r"-m nightly (\S+)", (REPOSITORY / "Makefile").read_text())
    mark = "mark." + "nightly"
    marked = [path for path in (REPOSITORY / "tests").rglob("*.py") if mark in path.read_text()]
    assert len(marked) > 5
    assert [path for path in marked if not path.is_relative_to(REPOSITORY / below)] == []


def test_every_test_that_the_page_on_data_names_exists() -> None:
    page = (REPOSITORY / "docs" / "data.md").read_text()
    named = re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)::(\w+)`", page)
    assert len(named) > 50
    for path, test in named:
        below = path.removeprefix("tests/") if "/" in path else f"trainable/data/{path}"
        content = (REPOSITORY / "tests" / below).read_text()
        assert re.search(rf"(?:def|class) {test}\b", content), f"{path}::{test}"
