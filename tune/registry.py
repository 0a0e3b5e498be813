"""The model registry: the best checkpoint becomes a version with the alias `champion`."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, Schema
from torch import Tensor
from torchvision.io import encode_png

import trainable
from trainable.classifier import Classifier

CHAMPION: Final = "champion"
_NEEDS = ("mlflow", "torch", "torchvision", "safetensors", "pillow", "pydantic", "pandas")


def register(
    classifier: Classifier, example: Tensor, model_name: str, run_id: str, tags: Mapping[str, str]
) -> int:
    """Log a classifier on a run, register it, and make it the champion.

    Args:
        classifier: The model.
        example: An image to show callers what the input looks like: uint8, (3, R, R).
        model_name: Of the registered model.
        run_id: Of the search.
        tags: For the model's version: which trial it is of, and its scores.

    Returns:
        The new version's number.
    """
    client = MlflowClient()
    _delete_unregistered(client, model_name, run_id)
    with tempfile.TemporaryDirectory() as folder:
        info = _log(classifier, example, Path(folder), run_id)
    if not client.search_registered_models(f"name = '{model_name}'"):
        client.create_registered_model(model_name)
    made = client.create_model_version(
        model_name, info.model_uri, run_id, tags=dict(tags), model_id=info.model_id
    )
    crown(model_name, int(made.version))
    return int(made.version)


def find_version(model_name: str, run_id: str, tags: Mapping[str, str]) -> int | None:
    """The version that a search has registered with these tags, if it has."""
    for found in _versions(MlflowClient(), model_name, run_id):
        if found.tags.items() >= tags.items():
            return int(found.version)
    return None


def crown(model_name: str, version: int) -> None:
    """Make a version the champion, unless a later one is it."""
    client = MlflowClient()
    aliases = client.get_registered_model(model_name).aliases
    if int(aliases.get(CHAMPION, 0)) < version:
        client.set_registered_model_alias(model_name, CHAMPION, str(version))


def _versions(client: MlflowClient, model_name: str, run_id: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{model_name}' and run_id = '{run_id}'"))


def _delete_unregistered(client: MlflowClient, model_name: str, run_id: str) -> None:
    """Delete what a process logged on this run that was killed before it could register it."""
    registered = {found.model_id for found in _versions(client, model_name, run_id)}
    experiment = client.get_run(run_id).info.experiment_id
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if model.model_id not in registered:
            client.delete_logged_model(model.model_id)


def _log(classifier: Classifier, example: Tensor, folder: Path, run_id: str) -> ModelInfo:
    classifier.save(folder / "classifier")
    code = shutil.copytree(
        Path(trainable.__file__).parent,
        folder / "trainable",
        ignore=shutil.ignore_patterns("weights", "__pycache__"),
    )
    with mlflow.start_run(run_id=run_id):
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"classifier": str(folder / "classifier")},
            code_paths=[str(code)],
            input_example=pd.DataFrame({"image": [_as_base64(example)]}),
            signature=_signature(classifier.spec.classes),
            pip_requirements=[f"{name}=={version(name)}" for name in _NEEDS],
        )


def _as_base64(image: Tensor) -> str:
    png = encode_png(image.cpu()).numpy().tobytes()
    return base64.b64encode(png).decode()


def _signature(classes: tuple[str, ...]) -> ModelSignature:
    scores = [
        ColSpec("double", "probability"),
        *(ColSpec("double", f"p_{name}") for name in classes),
    ]
    return ModelSignature(
        inputs=Schema([ColSpec("string", "image")]),
        outputs=Schema([ColSpec("string", "label"), *scores]),
    )
