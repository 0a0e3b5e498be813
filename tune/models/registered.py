"""Models that MLflow has registered, found by their names and read without running their code."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from trainable.inference.classifier import Classifier
from tune.errors import ConfigError

CHAMPION: Final = "champion"
"""Alias of the best version of a model."""
NONE_REGISTERED: Final = (
    "no model is registered here: python -m tune.search makes one; or give --model"
)

_URI: Final = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<number>\d+))")


def only_champion(client: MlflowClient) -> str:
    """URI of the champion of the one model that is registered.

    Raises:
        ConfigError: None is, or several are.
    """
    names = sorted(model.name for model in client.search_registered_models())
    if not names:
        raise ConfigError(NONE_REGISTERED)
    uris = [f"models:/{name}@{CHAMPION}" for name in names]
    if len(uris) > 1:
        raise ConfigError(f"several models are registered: give --model {' or '.join(uris)}")
    return uris[0]


def find_version(client: MlflowClient, uri: str) -> ModelVersion:
    """The version that `models:/NAME@ALIAS` or `models:/NAME/3` names.

    Raises:
        ValueError: It is written in another way.
        MlflowException: There is none.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise ValueError("a registered model is written models:/NAME@ALIAS or models:/NAME/VERSION")
    if parts["alias"] is not None:
        return client.get_model_version_by_alias(parts["name"], parts["alias"])
    return client.get_model_version(parts["name"], parts["number"])


def load_registered(version: ModelVersion) -> Classifier:
    """Read the classifier of a version from where MLflow keeps its files.

    Raises:
        MlflowException: MLflow is away, or the version holds no classifier.
    """
    source = f"models:/{version.name}/{version.version}/artifacts/classifier"
    with TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(source, dst_path=folder)
        return Classifier.load(Path(path))
