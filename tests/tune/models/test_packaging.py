"""A registered model, as MLflow has it: in whatever store, logged on the run of its search."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.helpers.challengers import (
    NAME,
    answers,
    challenger_of,
    classifier_of,
    config_of,
    new_run,
    record,
)
from tests.helpers.commands import DIGITS
from tests.helpers.names import NASTY
from tests.helpers.results import dataset_of
from tests.helpers.servers import Server
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.decoding.image_file import as_png
from tune.config.loading import load_config
from tune.models.lookup import load_model
from tune.models.promotion import settle_champion


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(load_config(DIGITS, ["data.image_size=16"]).data)


@pytest.fixture(scope="module", params=["database", pytest.param("server", marks=pytest.mark.slow)])
def uri(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Iterator[str]:
    """A store that is not the one where MLflow looks by itself."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_database, folder)
    if request.param == "database":
        yield f"sqlite:///{folder / 'mlflow.db'}"
        return
    with Server(folder) as server:
        yield server.uri


@pytest.fixture(scope="module")
def registered(
    uri: str, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[MlflowClient, str]:
    """A run with a registered model, and the client for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("here"))
        client = MlflowClient(uri)
        run_id = new_run(client)
        client.log_param(run_id, "optim.lr", 0.5)
        client.log_metric(run_id, "test_acc", 0.75)
        challenger = challenger_of(classifier_of(dataset.classes), dataset, answers(dataset, 270))
        settle_champion(client, config_of("always"), challenger, run_id)
        assert not Path("mlflow.db").exists()
    return client, run_id


@pytest.fixture(scope="module")
def files(
    registered: tuple[MlflowClient, str], tmp_path_factory: pytest.TempPathFactory
) -> set[str]:
    """The model's files before it is loaded, by which Python adds its own."""
    client, _ = registered
    place = client.get_model_version_download_uri(NAME, "1")
    folder = Path(
        mlflow.artifacts.download_artifacts(
            place,
            dst_path=str(tmp_path_factory.mktemp("files")),
            tracking_uri=client.tracking_uri,
        )
    )
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_is_a_model_of_its_searchs_run(registered: tuple[MlflowClient, str]) -> None:
    client, run_id = registered
    run = client.get_run(run_id)
    (logged,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    assert (logged.name, logged.status, logged.params) == ("model", "READY", {"optim.lr": "0.5"})
    assert [(metric.key, metric.value) for metric in logged.metrics] == [("test_acc", 0.75)]
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]
    version = client.get_model_version_by_alias(NAME, "champion")
    assert version.run_id == run_id
    assert version.source in {logged.model_uri, logged.artifact_location}


@pytest.mark.usefixtures("files")
def test_it_answers_by_mlflow_as_by_its_name(
    registered: tuple[MlflowClient, str],
    uri: str,
    dataset: Dataset,
) -> None:
    images = dataset.test.images[:5]
    expected = load_model(f"models:/{NAME}@champion", uri).classifier.probabilities(images)
    mlflow.set_tracking_uri(uri)
    try:
        served = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    finally:
        mlflow.set_tracking_uri(None)  # not what it was: that has become a path of this folder
    files = [as_png(image.permute(1, 2, 0).numpy()) for image in images]
    texts = [base64.b64encode(file).decode() for file in files]
    found = served.predict(pd.DataFrame({"image": texts}))
    columns = [f"p_{name}" for name in dataset.classes]
    np.testing.assert_allclose(found[columns].to_numpy(), expected, atol=1e-6)
    assert served.metadata.run_id == registered[1]


def test_nothing_of_the_making_is_left_in_it(files: set[str]) -> None:
    assert {"MLmodel", "requirements.txt", "artifacts/classifier/model.safetensors"} <= files
    assert [name for name in files if "__pycache__" in name or name.endswith(".pkl")] == []


def test_names_of_classes_are_data_in_the_record_and_in_the_model(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    named, client = dataset_of(NASTY), MlflowClient(uri)
    run_id, test = new_run(client), answers(named, 30)
    record(client, run_id, named, test)
    challenger = challenger_of(classifier_of(named.classes), named, test)
    settle_champion(client, config_of("always"), challenger, run_id)

    written = json.loads(
        Path(client.download_artifacts(run_id, "test.json", str(tmp_path))).read_text()
    )
    assert written["classes"] == list(NASTY)
    assert written["per_class"].keys() == set(NASTY)
    assert load_model(f"models:/{NAME}@champion", uri).classifier.spec.classes == NASTY
    served = mlflow.pyfunc.load_model(client.get_model_version_download_uri(NAME, "1"))
    picture = base64.b64encode(as_png(named.test.images[0].permute(1, 2, 0).numpy())).decode()
    found = served.predict(pd.DataFrame({"image": [picture]}))
    columns = ["label", "probability", "unsure", *(f"p_{name}" for name in NASTY)]
    assert list(found.columns) == columns
    assert served.input_example is not None  # which the registry shows, with the signature
    assert found["label"][0] in NASTY
    outputs = served.metadata.signature.outputs
    assert outputs is not None
    assert outputs.input_names() == list(found.columns)
