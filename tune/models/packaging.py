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
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema
from torch import Tensor

import trainable
from trainable.data.decoding import as_png
from trainable.inference.classifier import Classifier
from trainable.places import make_durable
from tune.tracking.schema import Artifact

_NEEDS: Final = ("mlflow", "torch", "torchvision", "safetensors", "pillow", "pydantic", "pandas")


def log_classifier(
    client: MlflowClient, classifier: Classifier, example: Tensor, run_id: str
) -> LoggedModel:
    """Log a classifier as a model of a run, as `mlflow.pyfunc.log_model` does of the active one.

    Args:
        client: For the record.
        classifier: The model.
        example: An image to show callers what the input looks like: uint8, (3, R, R).
        run_id: The search's run.
    """
    run = client.get_run(run_id)
    logged = client.create_logged_model(
        run.info.experiment_id, Artifact.MODEL, run_id, params=run.data.params
    )
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    client.log_batch(run_id, _metrics_of(client, run_id, logged.model_id))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Artifact.MODEL
        _save(classifier, example, path, logged)
        client.log_model_artifacts(logged.model_id, str(path))
    # The registry is a database and survives a loss of power; so must the files that it names.
    if (local := Path(logged.artifact_location.removeprefix("file://"))).is_dir():
        make_durable(local)
    # A model that a kill has left pending is deleted when its search goes on.
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _metrics_of(client: MlflowClient, run_id: str, model_id: str) -> list[Metric]:
    """The run's summary again, as the model's."""
    return [
        Metric(each.key, each.value, each.timestamp, each.step, model_id=model_id, run_id=run_id)
        for name in client.get_run(run_id).data.metrics
        for each in client.get_metric_history(run_id, name)
        if each.model_id is None
    ]


def _save(classifier: Classifier, example: Tensor, path: Path, logged: LoggedModel) -> None:
    weights = path.with_name(Artifact.CLASSIFIER)
    classifier.save(weights)
    code = shutil.copytree(
        Path(trainable.__file__).parent,
        path.with_name("trainable"),
        ignore=shutil.ignore_patterns("weights", "__pycache__"),
    )
    described = Model(
        artifact_path=logged.artifact_location,
        run_id=logged.source_run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
    )
    mlflow.pyfunc.save_model(
        path,
        mlflow_model=described,
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={Artifact.CLASSIFIER: str(weights)},
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
