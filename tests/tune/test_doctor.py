"""`python -m tune.doctor`, with every fault made for real; tests/tune/checks has the others."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY
from tests.helpers.doctor import examine
from tests.helpers.doors import invoke
from tests.helpers.searches import FinishedSearch
from tune.base.finding import Finding

NAMES = (
    *(
        "config",
        "system",
        "python",
        "packages",
        "cpu",
        "memory",
        "gpu",
        "disk",
        "shared memory",
        "ray",
        "weights",
    ),
    *("cache", "mlflow", "optuna", "searches"),
)


def test_in_an_empty_folder_it_looks_at_everything_and_makes_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = tmp_path / "empty"
    folder.mkdir()
    code, found = examine(folder, TUNE_CACHE=str(cache))
    assert tuple(found) == NAMES
    assert code == 0, found
    assert found["mlflow"].message.startswith("sqlite:///mlflow.db is not there yet")
    assert found["optuna"].state == found["cache"].state == found["searches"].state == "ok"
    assert list(folder.iterdir()) == []
    assert not cache.exists()


def test_after_a_search_all_is_well_and_it_says_so_in_lines(
    finished_search: FinishedSearch,
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_search.folder.rglob("*")}
    done = invoke("tune.doctor", cwd=finished_search.folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    schema = f"sqlite:///mlflow.db has the schema of mlflow {version('mlflow')}"
    assert f"ok    mlflow         {schema}" in lines
    assert "ok    search first   finished" in lines
    assert "ok    searches       1 were started in this folder" in lines
    assert {path: path.stat().st_mtime_ns for path in finished_search.folder.rglob("*")} == before


def test_it_says_which_config_it_judged(tmp_path: Path) -> None:
    _, found = examine(tmp_path)
    assert found["config"].message == "digits, the default, is judged; --config FILE judges another"
    (tmp_path / "photos").mkdir()
    own = ["--config=image_folder", "data.root=photos", "model.weights=random", "cache.root=own"]
    code, found = examine(tmp_path, *own)
    assert code == 0, found
    words = "image_folder data.root=photos model.weights=random cache.root=own"
    assert found["config"].message == f"{words} is judged"
    assert found["weights"].message == "random for resnet18 are available"
    assert " in own, " in found["cache"].message


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--config=image_folder", "data.root=photos"], "config"),
        (["model.weights=missing.pt"], "config"),
        (["model.weights=missing.pt"], "weights"),
    ],
)
def test_what_would_stop_that_config_fails(words: list[str], name: str, tmp_path: Path) -> None:
    code, found = examine(tmp_path, *words)
    assert (code, found[name].state) == (1, "fail")


@pytest.mark.nightly
def test_a_package_that_cannot_be_imported_does_not_end_the_examination(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "alembic.py").write_text("raise ImportError('alembic is broken')")
    path = os.pathsep.join([str(tmp_path / "broken"), str(REPOSITORY)])
    code, found = examine(tmp_path, PYTHONPATH=path)
    assert code == 1
    assert found["import"].message == "alembic is broken"
    assert found["disk"].state != "fail"


def test_a_full_disk_fails_and_a_full_cache_is_told(full_disk: Path) -> None:
    code, found = examine(full_disk, TUNE_CACHE=str(full_disk / "cache"))
    assert code == 1
    assert found["disk"].state == "fail"
    assert found["disk"].message.startswith("0.0 GB free in ")
    assert found["cache"].state == "warn"


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_no_password_is_shown_whatever_finds_it(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "s3://user:secret@bucket/searches"
    found = Finding("storage", "fail", f"{address} is out of reach", f"mount {address}")
    monkeypatch.setattr("tune.doctor.examine", lambda *_, **__: iter([found]))
    done = invoke("tune.doctor", *words, cwd=tmp_path)
    assert "user:***@bucket" in done.stdout
    assert "secret" not in done.stdout + done.stderr
