"""Which images a registered model was trained and tested on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from trainable.config import DataConfig, TrialConfig
from trainable.data.datasets import Dataset, is_local, load_dataset
from tune.errors import ConfigError


class UnknownDataError(ConfigError):
    """A model's images cannot be had; says why."""


@dataclass(frozen=True)
class RecordedData:
    """Images as a run names them.

    Attributes:
        config: Where they are, and how they are split.
        fingerprint: Of the test images.
    """

    config: DataConfig
    fingerprint: str


def dataset_of(client: MlflowClient, version: ModelVersion) -> Dataset:
    """The images of a version, as the run of its best trial names them.

    Raises:
        UnknownDataError: No run names them, they are not here any more, or the test images are
            not those that it was tested on.
    """
    return read_again(recorded_data(client, version))


def recorded_data(client: MlflowClient, version: ModelVersion) -> RecordedData:
    """What the record says of a version's images.

    Raises:
        UnknownDataError: It does not tell them.
    """
    try:
        search = client.get_run(version.run_id).info
        condition = (
            f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{search.run_id}' and tags.`tune.kind` = 'trial' "
            f"and tags.`tune.number` = '{version.tags['tune.best_trial']}'"
        )
        (trial,) = client.search_runs([search.experiment_id], condition)
        config = TrialConfig.model_validate_json(trial.data.tags["tune.config"])
        with TemporaryDirectory() as folder:
            test = Path(client.download_artifacts(search.run_id, "test.json", folder)).read_text()
        return RecordedData(config.data, json.loads(test)["fingerprint"])
    except (MlflowException, OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UnknownDataError(f"its run does not tell its images ({reason})") from error


def read_again(data: RecordedData) -> Dataset:
    """Read images that are on this machine; nothing is downloaded.

    Raises:
        UnknownDataError: They are not here any more, or not the same.
    """
    if not is_local(data.config):
        raise UnknownDataError("its images are not here any more")
    try:
        dataset = load_dataset(data.config)
    except (ValueError, OSError) as error:
        raise UnknownDataError(f"its images are not here any more: {error}") from error
    if dataset.test_fingerprint() != data.fingerprint:
        raise UnknownDataError("its test images have changed since")
    return dataset
