"""What there may be many of in MLflow, of which it gives a page at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.helpers.doors import invoke
from tune.tracking import queries
from tune.tracking.queries import find_models, find_runs, open_parents
from tune.tracking.schema import SEARCH_KIND, Tag

MANY = 101
"""One more than MLflow gives where it is not asked for so many."""


@pytest.fixture
def client(empty_database: Path, tmp_path: Path) -> MlflowClient:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_all_are_found_page_by_page(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_PAGE", 2)
    for number in range(5):
        client.create_registered_model(f"m{number}")
        experiment = client.create_experiment(f"e{number}")
        client.create_run(experiment, tags={Tag.KIND: SEARCH_KIND})
        client.create_run("0")
    assert [model.name for model in find_models(client)] == [f"m{number}" for number in range(5)]
    assert len(find_runs(client, "0", "")) == 5
    assert len(open_parents(client)) == 5


def test_a_model_behind_a_hundred_others_is_found(client: MlflowClient, tmp_path: Path) -> None:
    for number in range(MANY):
        client.create_registered_model(f"m{number:03}")
    done = invoke("tune.registry", "m100", "--rollback", cwd=tmp_path)
    assert done.stderr == "tune.registry: m100 has had no champion before this one\n"
