"""Stores with faults that were made for real, and the remedies that are told."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from tests.helpers.commands import user_environment
from tests.helpers.searches import FinishedSearch
from trainable.store.arrays import ArrayStore
from trainable.store.chunks import Chunks
from tune.base.finding import Finding
from tune.checks.cache import check_cache
from tune.checks.databases import check_mlflow, check_optuna

STUDY = "sqlite:///mlruns/optuna.db"


def command(line: str, **variables: str) -> None:
    """Run a command as a user would, with the virtual environment activated."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**user_environment(), "PATH": path, **variables}
    done = subprocess.run(
        shlex.split(line), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def python(code: str, **variables: str) -> None:
    """Run some Python in another process."""
    command(shlex.join([sys.executable, "-c", code]), **variables)


def told_command(found: Finding, start: str) -> str:
    """The command, of those in a fix, that starts with these words."""
    fix = str(found.fix)
    assert start in fix
    return fix[fix.index(start) :].split(", then", maxsplit=1)[0]


def test_a_database_that_is_none_fails(in_tmp_path: Path) -> None:
    Path("mlruns").mkdir()
    for path in ("mlflow.db", "mlruns/optuna.db"):
        Path(path).write_bytes(b"these are words" * 1000)
    for found in (check_mlflow(None), check_optuna(STUDY)):
        assert found.state == "fail"
        assert "file is not a database" in found.message
        assert ".damaged" in str(found.fix)


@pytest.mark.parametrize("share", [0.001, 0.25, 0.5, 0.75])
def test_a_database_with_a_hole_fails_and_is_left_as_it_is(
    share: float, finished_search: FinishedSearch, in_tmp_path: Path
) -> None:
    content = bytearray((finished_search.folder / "mlflow.db").read_bytes())
    start = int(share * len(content))  # what is noticed first depends on which table has it
    content[start : start + 40_000] = bytes(range(250)) * 160
    Path("mlflow.db").write_bytes(content)
    found = check_mlflow(None)
    assert found.state == "fail"
    assert "damaged" in found.message
    assert Path("mlflow.db").read_bytes() == content


def test_an_empty_database_is_filled_by_the_first_search(in_tmp_path: Path) -> None:
    Path("mlflow.db").touch()
    assert check_mlflow(None).state == "ok"
    assert Path("mlflow.db").stat().st_size == 0


def test_a_half_made_database_fails(in_tmp_path: Path) -> None:
    with sqlite3.connect("mlflow.db") as connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    connection.close()
    found = check_mlflow(None)
    assert found.state == "fail"
    assert "no schema version" in found.message


OLD_MLFLOW = """
import sys
from alembic import command
from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine
from mlflow.store.tracking.dbmodels.initial_models import Base
engine = create_sqlalchemy_engine("sqlite:///mlflow.db")
Base.metadata.create_all(engine)
config = _get_alembic_config("sqlite:///mlflow.db")
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, sys.argv[1])
"""


@pytest.mark.nightly
@pytest.mark.parametrize("revision", ["c48cb773bb87", "heads-1"])
def test_an_old_schema_fails_and_the_command_that_is_told_brings_it_up_to_date(
    revision: str, in_tmp_path: Path
) -> None:
    command(shlex.join([sys.executable, "-c", OLD_MLFLOW, revision]))
    before = Path("mlflow.db").read_bytes()
    found = check_mlflow(None)
    assert found.state == "fail"
    assert f"older than mlflow {version('mlflow')}" in found.message
    assert Path("mlflow.db").read_bytes() == before
    command(told_command(found, "mlflow db upgrade"))
    assert check_mlflow(None).state == "ok"


OLD_OPTUNA = """
from importlib.resources import files
from alembic import command
from alembic.config import Config
folder = files("optuna") / "storages" / "_rdb"
config = Config(str(folder / "alembic.ini"))
config.set_main_option("script_location", str(folder / "alembic"))
config.set_main_option("sqlalchemy.url", "sqlite:///mlruns/optuna.db")
command.upgrade(config, "v3.0.0.d")
"""


def test_an_old_study_fails_and_the_command_that_is_told_brings_it_up_to_date(
    in_tmp_path: Path,
) -> None:
    Path("mlruns").mkdir()
    python(OLD_OPTUNA)
    found = check_optuna(STUDY)
    assert found.state == "fail"
    assert f"older than optuna {version('optuna')}" in found.message
    command(told_command(found, "optuna storage upgrade"))
    assert check_optuna(STUDY).state == "ok"


def test_a_schema_of_a_later_version_fails(
    finished_search: FinishedSearch, in_tmp_path: Path
) -> None:
    shutil.copy(finished_search.folder / "mlflow.db", "mlflow.db")
    with sqlite3.connect("mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fffffffffffe'")
    connection.close()
    found = check_mlflow(None)
    assert found.state == "fail"
    assert "fffffffffffe, which mlflow" in found.message


@pytest.mark.slow
def test_a_database_that_another_process_has_locked_is_told(
    finished_search: FinishedSearch, in_tmp_path: Path
) -> None:
    shutil.copy(finished_search.folder / "mlflow.db", "mlflow.db")
    for lock in ("EXCLUSIVE", "IMMEDIATE"):
        connection = sqlite3.connect("mlflow.db")
        connection.execute(f"BEGIN {lock}")
        found = check_mlflow(None)
        connection.close()
        assert found.state == "warn"
        assert "locked by another process" in found.message
        assert str(in_tmp_path / "mlflow.db") in str(found.fix)
    assert check_mlflow(None).state == "ok"


FILE_STORE = """
import mlflow
with mlflow.start_run():
    mlflow.log_metric("loss", 0.25)
"""


@pytest.mark.nightly
def test_an_old_store_in_files_fails_and_is_migrated_as_told(in_tmp_path: Path) -> None:
    python(FILE_STORE, MLFLOW_ALLOW_FILE_STORE="true", MLFLOW_TRACKING_URI="./mlruns")
    found = check_mlflow(None)
    assert found.state == "fail"
    assert "meta.yaml" in found.message
    command(told_command(found, "mlflow migrate-filestore"))
    assert check_mlflow("sqlite:///mlflow.db").state == "ok"
    assert check_mlflow(None).state == "fail"  # MLflow still takes the files first
    (meta,) = Path("mlruns").glob("*/meta.yaml")
    meta.unlink()
    assert check_mlflow(None).state == "ok"
    with sqlite3.connect("mlflow.db") as connection:
        assert connection.execute("SELECT key, value FROM metrics").fetchall() == [("loss", 0.25)]
    connection.close()


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://127.0.0.1:{closed}", "the server does not answer"),
        ("mlruns", "no records in plain files"),
        ("sqlite:///missing/mlflow.db", "there is no folder"),
        ("oracle9://host/name", "MLflow has no store for oracle9://"),
        ("postgresql+psycopg://tune:secret@127.0.0.1:{closed}/tune", "cannot be used"),
    ],
)
def test_a_store_that_is_out_of_reach_fails(uri: str, told: str, in_tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    found = check_mlflow(uri.format(closed=closed))
    assert found.state == "fail"
    assert told in found.message
    assert "secret" not in found.message + str(found.fix)
    assert list(in_tmp_path.iterdir()) == []


def test_a_cache_over_its_cap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "cache"
    chunks = Chunks(10, 10, lambda start, stop: torch.ones(stop - start, 100))
    ArrayStore(root).get({"what": "test"}, chunks)
    assert check_cache(ArrayStore(root)).state == "ok"
    found = check_cache(ArrayStore(root, 1000))
    assert found.state == "warn"
    assert found.message.startswith("1 entries, ")
    # The command that clears this cache, and not another one.
    assert str(found.fix).startswith(f"python -m tune.cache --clear --root {root}, or")
    monkeypatch.setenv("TUNE_CACHE", str(root))
    found = check_cache(ArrayStore(root, 1000))
    assert str(found.fix).startswith("python -m tune.cache --clear, or")


def test_a_file_in_the_place_of_the_cache_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = check_cache(ArrayStore(tmp_path / "file" / "cache"))
    assert found.state == "warn"
    assert "TUNE_CACHE" in str(found.fix)
