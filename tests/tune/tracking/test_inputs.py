"""The images of a search as MLflow's input of its run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from tests.helpers.commands import DIGITS
from tune.config.loading import load_config
from tune.study.search import Search
from tune.tracking.inputs import dataset_input
from tune.tracking.record import SearchRecord

FINGERPRINT = "0123456789abcdef" * 4


def search_of(*words: str, **more: object) -> Search:
    config = load_config(DIGITS, words)
    return Search(
        name="one", config=config, data_fingerprint=FINGERPRINT, weights_hash=None, **more
    )


def test_images_that_come_with_a_package_are_named_by_their_source() -> None:
    sizes = {"train": 10, "val": 2, "test": 3, "classes": 2}
    found = dataset_input(search_of(sizes=sizes)).dataset
    assert (found.name, found.digest) == ("digits", FINGERPRINT[:36])
    assert json.loads(found.profile) == sizes
    assert json.loads(found.source)["tags"]["data.source"] == "digits"


def test_a_folder_is_named_by_its_last_part_and_lies_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = dataset_input(search_of("data.source=image_folder", "data.root=my photos")).dataset
    assert (found.name, found.source_type, found.profile) == ("my photos", "local", None)
    assert json.loads(found.source) == {"uri": str(tmp_path / "my photos")}


def test_mlflow_has_it_once_however_often_the_record_is_opened(
    empty_database: Path, tmp_path: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}"
    search = search_of(uri)
    record = SearchRecord(search)
    record.client.log_inputs(record.run_id, [dataset_input(search)])  # as after a lost answer
    again = SearchRecord(search)
    assert again.run_id == record.run_id
    (found,) = again.client.get_run(again.run_id).inputs.dataset_inputs
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "training")]
    assert mlflow.data.get_source(found).to_dict()["tags"]["data.source"] == "digits"
    SearchRecord(search.model_copy(update={"identity": "other", "name": "two"}))
    experiment = again.client.get_experiment_by_name("digits").experiment_id
    runs = again.client.search_runs([experiment])
    assert len(runs) == 2
    assert {run.inputs.dataset_inputs[0].dataset.digest for run in runs} == {FINGERPRINT[:36]}
