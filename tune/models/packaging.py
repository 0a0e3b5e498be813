"""A classifier as a model of MLflow's: code as text, weights as safetensors, and no pickle."""

from __future__ import annotations

import base64
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, Schema
from torch import Tensor

import trainable
from trainable.data.decoding import as_png
from trainable.inference.classifier import Classifier

_NEEDS: Final = ("mlflow", "torch", "torchvision", "safetensors", "pillow", "pydantic", "pandas")


def log_classifier(classifier: Classifier, example: Tensor, run_id: str) -> ModelInfo:
    """Log a classifier on a run.

    Args:
        classifier: The model.
        example: An image to show callers what the input looks like: uint8, (3, R, R).
        run_id: Of the search.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _log(classifier, example, Path(folder), run_id)


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
    return base64.b64encode(as_png(image.permute(1, 2, 0).numpy())).decode()


def _signature(classes: tuple[str, ...]) -> ModelSignature:
    scores = [
        ColSpec("double", "probability"),
        *(ColSpec("double", f"p_{name}") for name in classes),
    ]
    return ModelSignature(
        inputs=Schema([ColSpec("string", "image")]),
        outputs=Schema([ColSpec("string", "label"), *scores]),
    )
