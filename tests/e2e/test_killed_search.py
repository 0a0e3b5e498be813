"""A search that was killed: the runs that it leaves open are reported, and closed on request."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.doctor import examine
from tests.helpers.searches import statuses
from tune.base.finding import Finding

RESUME = "python -m tune.search --resume first"

pytestmark = pytest.mark.slow


Found = tuple[int, Finding, list[str]]
"""The doctor's exit code, what it says of the search, and the statuses of its runs then."""


@pytest.fixture(scope="module")
def found(mended_search: Path) -> dict[str, Found]:
    noted = json.loads((mended_search / "doctor.json").read_text())
    return {name: (code, Finding(**each), runs) for name, (code, each, runs) in noted.items()}


def assert_open(found: list[str], status: str) -> None:
    """Assert that the search and its last trial have this status, and that the others ended."""
    search, first, *_, last = found
    assert (search, last) == (status, status)
    assert "RUNNING" not in found[1:-1]
    assert first == "FINISHED"


def test_the_runs_of_a_search_that_is_running_are_not_touched(killed_search: Path) -> None:
    alive = json.loads((killed_search / "alive.json").read_text())
    assert Finding(**alive["doctor"]) == Finding("search first", "ok", "is running")
    assert_open(alive["statuses"], "RUNNING")


def test_a_search_that_died_is_told_with_the_command_that_goes_on_with_it(
    found: dict[str, Found],
) -> None:
    code, first, runs = found["killed"]
    assert code == 0
    assert first.state == "warn"
    assert first.message == "stopped before its end, and 2 of its runs are still RUNNING"
    assert str(first.fix).startswith(RESUME)
    assert_open(runs, "RUNNING")


def test_of_a_record_without_its_folder_nothing_is_touched(
    killed_search: Path, tmp_path: Path
) -> None:
    shutil.copy(killed_search / "mlflow.db", tmp_path / "mlflow.db")
    _, found = examine(tmp_path, "--fix")
    assert found["searches"].state == "warn"
    assert found["searches"].message == "RUNNING, but not started in this folder: first"
    assert_open(statuses(tmp_path), "RUNNING")


def test_fix_closes_its_runs_and_it_goes_on_as_if_it_had_not(found: dict[str, Found]) -> None:
    """`test_resume.py` compares what it came to, bit for bit, with what was never killed."""
    _, first, runs = found["fixed"]
    assert first.state == "ok"
    assert "2 of its runs were RUNNING, and are KILLED now" in first.message
    assert first.fix == RESUME
    assert_open(runs, "KILLED")
    assert found["after"][1].message == "stopped before its end"
    _, last, runs = found["finished"]
    assert last == Finding("search first", "ok", "finished")
    assert (runs[0], len(runs)) == ("FINISHED", 6)
    assert "RUNNING" not in runs
