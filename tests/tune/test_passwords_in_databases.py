"""Passwords of real databases: none is in an error, a study, a record or on the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tests.helpers.commands import DIGITS
from tests.helpers.doors import invoke
from tests.helpers.postgres import USER, Postgres, postgres
from tests.helpers.searches import FinishedSearch
from tests.helpers.studies import search_of
from tune.base.errors import ConfigError
from tune.checks.databases import check_mlflow, check_optuna
from tune.config.loading import load_config
from tune.reporting.terminal import _further
from tune.strategy.portfolio import open_search
from tune.study.storage import has_study
from tune.tracking.record import SearchRecord
from tune.tracking.server import check_tracking

SECRET = "s3cret"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres(password=SECRET) as server:
        yield server


@pytest.mark.parametrize(
    ("user", "database"),
    [
        (f"{USER}:s3cret-w0rd", "postgres"),  # not the password
        (f"{USER}:s3cret@w0rd", "postgres"),  # of which a half is taken for the host
        (f"{USER}:{SECRET}", "w0rdless"),  # not there
        (f"{USER}:s3cret-w0rd", "postgres?password=w0rdy"),
    ],
)
def test_a_database_that_refuses_is_reported_without_the_password(
    user: str, database: str, server: Postgres, tmp_path: Path
) -> None:
    url = server.url_with(user).replace("/postgres", f"/{database}")
    told = [str(check_optuna(url)), str(check_mlflow(url))]
    for action in (lambda: has_study(url, "one"), lambda: check_tracking(url)):
        with pytest.raises(ConfigError, match="cannot be used") as caught:
            action()
        told.append(str(caught.value))
    for door, words in {
        "tune.registry": ["--uri", url],
        "tune.predict": ["--uri", url, "x.png"],
        "tune.search": [f"tracking.uri={url}"],
    }.items():
        done = invoke(door, *words, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        told += [done.stdout, done.stderr]
    for text in told:
        assert SECRET not in text
        assert "w0rd" not in text.replace("w0rdless", "")
    assert any("***" in text for text in told)


def test_neither_study_nor_record_nor_terminal_has_a_password(
    server: Postgres, empty_database: Path, in_tmp_path: Path
) -> None:
    url = server.url_with(f"{USER}:{SECRET}")
    config = load_config(DIGITS, [f"tracking.uri={url}", f"tracking.study={url}"])
    search = search_of(config, url)
    open_search(search)
    with create_engine(url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT value_json FROM study_user_attributes").all()
    stored = "".join(value for (value,) in rows)
    assert f"{USER}@127.0.0.1" in stored
    assert SECRET not in stored
    shutil.copy(empty_database, "mlflow.db")
    local = config.tracking.model_copy(update={"uri": "sqlite:///mlflow.db"})
    record = SearchRecord(
        search.model_copy(update={"config": config.model_copy(update={"tracking": local})})
    )
    told = f"{record.client.get_run(record.run_id).to_dictionary()} {_further(config)}"
    assert told.count("***") == 3
    assert SECRET not in told
    assert all(SECRET.encode() not in path.read_bytes() for path in Path().rglob("*.*"))


def test_databases_are_made_for_their_owner_alone(finished_search: FinishedSearch) -> None:
    folder = finished_search.folder
    paths = [folder / "mlflow.db", folder / "mlruns" / "optuna.db"]
    paths += folder.glob("mlruns/searches/*/search.json")
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert len(paths) == 3
