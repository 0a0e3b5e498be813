"""A search that was killed: the runs that it leaves open are reported, and closed on request."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.commands import run_module
from tests.helpers.doctor import examine
from tests.helpers.searches import copied, statuses
from tune.base.finding import Finding

RESUME = "python -m tune.search --resume first"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def killed(killed_search: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(killed_search, tmp_path_factory.mktemp("killed")).folder


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


def test_a_search_that_died_is_told_with_the_command_that_goes_on_with_it(killed: Path) -> None:
    code, found = examine(killed)
    assert code == 0
    assert found["search first"].state == "warn"
    assert (
        found["search first"].message
        == "stopped before its end, and 2 of its runs are still RUNNING"
    )
    assert str(found["search first"].fix).startswith(RESUME)
    assert_open(statuses(killed), "RUNNING")


def test_of_a_record_without_its_folder_nothing_is_touched(killed: Path, tmp_path: Path) -> None:
    shutil.copy(killed / "mlflow.db", tmp_path / "mlflow.db")
    _, found = examine(tmp_path, "--fix")
    assert found["searches"].state == "warn"
    assert found["searches"].message == "RUNNING, but not started in this folder: first"
    assert_open(statuses(tmp_path), "RUNNING")


def test_fix_closes_its_runs_and_it_goes_on_as_if_it_had_not(killed: Path) -> None:
    _, found = examine(killed, "--fix")
    assert found["search first"].state == "ok"
    assert "2 of its runs were RUNNING, and are KILLED now" in found["search first"].message
    assert found["search first"].fix == RESUME
    assert_open(statuses(killed), "KILLED")
    _, again = examine(killed)
    assert again["search first"].message == "stopped before its end"
    done = run_module("tune.search", "--resume", "first", cwd=killed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(killed)[0] == "FINISHED"
    assert len(statuses(killed)) == 6
    assert "RUNNING" not in statuses(killed)
    _, last = examine(killed)
    assert last["search first"] == Finding("search first", "ok", "finished")
