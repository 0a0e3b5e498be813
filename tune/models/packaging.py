"""A classifier as a model of MLflow's: code as text, weights as safetensors, and no pickle."""

from __future__ import annotations

import base64
import shutil
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types import ColSpec, Schema
from torch import Tensor

import trainable
from trainable.data.decoding.image_file import as_png
from trainable.files.places import make_durable
from trainable.inference.classifier import Classifier
from trainable.registries import TIMM
from tune.tracking.client import ask, make_once
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
    experiment = run.info.experiment_id
    found = _pending(client, experiment, run_id)
    logged = make_once(
        client,
        lambda: client.create_logged_model(
            experiment, Artifact.MODEL, run_id, params=run.data.params
        ),
        lambda: next(
            (m for i, m in _pending(client, experiment, run_id).items() if i not in found), None
        ),
    )
    _log_output(client, run_id, logged.model_id)
    client.log_batch(run_id, _metrics_of(client, run_id, logged.model_id))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Artifact.MODEL
        _save(classifier, example, path, logged)
        _upload(client, path, logged)
    # The registry is a database and survives a loss of power; so must the files that it names.
    if (local := Path(logged.artifact_location.removeprefix("file://"))).is_dir():
        make_durable(local)
    # A model that a kill has left pending is deleted when its search goes on.
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _pending(client: MlflowClient, experiment: str, run_id: str) -> dict[str, LoggedModel]:
    """The models of a run that are not whole."""
    models = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    return {m.model_id: m for m in models if m.status == LoggedModelStatus.PENDING}


def _log_output(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Note on a run that a model came of it."""

    def find() -> bool | None:
        outputs = client.get_run(run_id).outputs
        known = outputs.model_outputs if outputs else []
        return any(output.model_id == model_id for output in known) or None

    def make() -> bool:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
        return True

    make_once(client, make, find)


def _upload(client: MlflowClient, folder: Path, logged: LoggedModel) -> None:
    """Put the files of a folder where a model's belong, each by itself: they are many."""
    place = get_artifact_repository(logged.artifact_location, client.tracking_uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            inside = path.parent.relative_to(folder).as_posix()
            target = None if inside == "." else inside
            ask(client, partial(place.log_artifact, str(path), target))


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
        pip_requirements=[f"{name}=={version(name)}" for name in _needs(classifier.spec.arch)],
    )


def _needs(arch: str) -> tuple[str, ...]:
    """The packages that a server needs."""
    return (*_NEEDS, "timm") if arch.startswith(TIMM) else _NEEDS


def _as_base64(image: Tensor) -> str:
    return base64.b64encode(as_png(image.permute(1, 2, 0).numpy())).decode()


def _signature(classes: tuple[str, ...]) -> ModelSignature:
    scores = [
        ColSpec("double", "probability"),
        ColSpec("boolean", "unsure"),
        *(ColSpec("double", f"p_{name}") for name in classes),
    ]
    return ModelSignature(
        inputs=Schema([ColSpec("string", "image")]),
        outputs=Schema([ColSpec("string", "label"), *scores]),
    )
