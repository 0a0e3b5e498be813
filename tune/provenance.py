"""Which images a registered model was trained and tested on."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from trainable.config import TrialConfig
from trainable.datasets import Dataset, load_dataset


class UnknownDataError(ValueError):
    """A model's images cannot be had; says why."""


def dataset_of(version: ModelVersion) -> Dataset:
    """The images of a version, as the run of its best trial names them.

    Raises:
        UnknownDataError: No run names them, they are not there any more, or the test images are
            not those that it was tested on.
    """
    try:
        config, fingerprint = _recorded(MlflowClient(), version)
    except (MlflowException, OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UnknownDataError(f"its run does not tell its images ({reason})") from error
    try:
        dataset = load_dataset(config.data)
    except ValueError as error:
        raise UnknownDataError(str(error)) from error
    if dataset.test_fingerprint() != fingerprint:
        raise UnknownDataError("its test images have changed since")
    return dataset


def _recorded(client: MlflowClient, version: ModelVersion) -> tuple[TrialConfig, str]:
    """The version's trial, and the fingerprint of the images that it was tested on."""
    search = client.get_run(version.run_id).info
    condition = (
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{search.run_id}' and tags.`tune.kind` = 'trial' "
        f"and tags.`tune.number` = '{version.tags['tune.best_trial']}'"
    )
    (trial,) = client.search_runs([search.experiment_id], condition)
    with TemporaryDirectory() as folder:
        test = Path(client.download_artifacts(search.run_id, "test.json", folder)).read_text()
    config = TrialConfig.model_validate_json(trial.data.tags["tune.config"])
    return config, json.loads(test)["fingerprint"]
