"""A server of MLflow's, which the tests of the record take away, slow down and bring back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.helpers.servers import Server


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test where MLflow may make an `mlruns/`, as it does for a database in a file."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder)
    with Server(folder) as server:
        yield server


@pytest.fixture
def fresh(server: Server) -> Server:
    """The server, without what another test recorded."""
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("digits")
    if experiment is not None:
        for run in client.search_runs([experiment.experiment_id]):
            client.delete_run(run.info.run_id)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    return server
