"""A search that was killed: the runs that it leaves open are reported, and closed on request."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS, SMALL, run_module, running_module
from tests.helpers.doctor import examine
from tests.helpers.processes import assert_gone, kill_family, wait_until, workers
from tests.helpers.searches import FinishedSearch, epochs_in
from tune.checks.finding import Finding

RESUME = "python -m tune.search --resume first"


def statuses(folder: Path) -> list[str]:
    """Of the search's run and its trials'."""
    search = FinishedSearch(folder, "")
    return [run.info.status for kind in ("search", "trial") for run in search.runs(kind)]


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finding, list[str]]:
    """Where a search was killed; and what `--fix` found, and left, while it was running."""
    folder = tmp_path_factory.mktemp("killed")
    words = ("--config", str(DIGITS), "--num-samples=2", "--name=first", *SMALL)
    words += ("train.epochs=20", "scheduler.name=fifo")
    with running_module("tune.search", *words, cwd=folder) as search:
        wait_until(lambda: epochs_in(folder) >= 2 and (folder / "mlflow.db").exists(), by=search)
        wait_until(lambda: len(statuses(folder)) == 3, by=search)
        for process in workers(search.pid):
            process.suspend()  # so that no trial ends meanwhile
        _, found = examine(folder, "--fix")
        left = statuses(folder)
        assert_gone(kill_family(search.pid))
    return folder, found["search first"], left


@pytest.fixture
def killed(living: tuple[Path, Finding, list[str]]) -> Path:
    return living[0]


def test_the_runs_of_a_living_search_are_not_touched(
    living: tuple[Path, Finding, list[str]],
) -> None:
    _, found, left = living
    assert found == Finding("search first", "ok", "is running")
    assert left == ["RUNNING"] * 3


def test_a_search_that_died_is_told_with_the_command_that_goes_on_with_it(killed: Path) -> None:
    code, found = examine(killed)
    assert code == 0
    assert found["search first"].state == "warn"
    assert (
        found["search first"].message
        == "stopped before its end, and 3 of its runs are still RUNNING"
    )
    assert str(found["search first"].fix).startswith(RESUME)
    assert "RUNNING" in statuses(killed)


def test_of_a_record_without_its_folder_nothing_is_touched(killed: Path, tmp_path: Path) -> None:
    shutil.copy(killed / "mlflow.db", tmp_path / "mlflow.db")
    _, found = examine(tmp_path, "--fix")
    assert found["searches"].state == "warn"
    assert found["searches"].message == "RUNNING, but not started in this folder: first"
    assert statuses(tmp_path) == ["RUNNING"] * 3


@pytest.mark.slow
def test_fix_closes_its_runs_and_it_goes_on_as_if_it_had_not(killed: Path) -> None:
    _, found = examine(killed, "--fix")
    assert found["search first"].state == "ok"
    assert "3 of its runs were RUNNING, and are KILLED now" in found["search first"].message
    assert found["search first"].fix == RESUME
    assert statuses(killed) == ["KILLED"] * 3
    _, again = examine(killed)
    assert again["search first"].message == "stopped before its end"
    done = run_module("tune.search", "--resume", "first", cwd=killed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(killed)[0] == "FINISHED"
    assert len(statuses(killed)) == 3
    assert "RUNNING" not in statuses(killed)
    _, last = examine(killed)
    assert last["search first"] == Finding("search first", "ok", "finished")


def test_a_broken_file_of_a_search_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "mlruns" / "searches" / "first"
    folder.mkdir(parents=True)
    (folder / "search.json").write_text("{}")
    _, found = examine(tmp_path)
    assert found["search first"].state == "warn"
    assert "search.json cannot be read" in found["search first"].message
