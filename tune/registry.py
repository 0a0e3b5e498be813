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
    with tempfile.TemporaryDirectory() as folder:
        info = _log(classifier, example, Path(folder), run_id)
    client = MlflowClient()
    if not client.search_registered_models(f"name = '{model_name}'"):
        client.create_registered_model(model_name)
    made = client.create_model_version(
        model_name, info.model_uri, run_id, tags=dict(tags), model_id=info.model_id
    )
    client.set_registered_model_alias(model_name, CHAMPION, made.version)
    return int(made.version)


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
