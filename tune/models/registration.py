"""The versions of a registered model: how a search's winner becomes one, whatever kills it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from trainable.data.datasets import Dataset
from trainable.inference.classifier import Classifier
from trainable.judging.predictions import Predictions
from tune.config.schema import SearchConfig
from tune.models.packaging import log_classifier
from tune.tracking.client import ask, make_once
from tune.tracking.schema import Tag
from tune.tracking.server import is_mlflows_own


@dataclass(frozen=True, eq=False)
class Challenger:
    """A model that may become the champion.

    Attributes:
        classifier: The model.
        dataset: Whose test images it was shown.
        test: Its predictions on them.
        identity: Tags that no other model of its search has.
        scores: Further tags.
    """

    classifier: Classifier
    dataset: Dataset
    test: Predictions
    identity: Mapping[str, str]
    scores: Mapping[str, str]


def find(
    client: MlflowClient, name: str, run_id: str, challenger: Challenger
) -> ModelVersion | None:
    """The version of a challenger that a process registered before, if one did."""
    for found in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
        if found.tags.items() >= challenger.identity.items():
            return found
    return None


def register(
    client: MlflowClient, config: SearchConfig, challenger: Challenger, run_id: str
) -> ModelVersion:
    """Log a challenger's model on its run, and make it a version of the registered model."""
    name, image = config.model_name, challenger.dataset.test.images[0]
    _delete_unregistered(client, run_id)
    logged = log_classifier(client, challenger.classifier, image, run_id)
    _make_model(client, name)
    objective = {Tag.OBJECTIVE: config.objective.metric}
    # What MLflow's page shows as the source model. A store in a database looks it up where
    # MLflow's own state points to, and finds nothing there if that is another one.
    source = logged.model_uri if is_mlflows_own(client) else logged.artifact_location
    tags = {**challenger.identity, **challenger.scores, **objective}
    return make_once(
        client,
        lambda: client.create_model_version(
            name, source, run_id, tags=tags, model_id=logged.model_id
        ),
        lambda: find(client, name, run_id, challenger),
    )


def add_file(client: MlflowClient, name: str, number: int, path: Path) -> None:
    """Put one more file among those of a version that a search has registered."""
    version = client.get_model_version(name, str(number))
    experiment = client.get_run(version.run_id).info.experiment_id
    for model in client.search_logged_models([experiment], f"source_run_id = '{version.run_id}'"):
        if version.source in (model.model_uri, model.artifact_location):
            place = get_artifact_repository(
                model.artifact_location, tracking_uri=client.tracking_uri
            )
            ask(client, partial(place.log_artifact, str(path)))


def _make_model(client: MlflowClient, name: str) -> None:
    """Make the registered model, unless it is there."""

    def existing() -> RegisteredModel | None:
        return next(iter(client.search_registered_models(f"name = '{name}'")), None)

    if existing() is None:
        make_once(client, lambda: client.create_registered_model(name), existing)


def _delete_unregistered(client: MlflowClient, run_id: str) -> None:
    """Delete what a process logged on this run that was killed before it could register it.

    A registered model may have another name by now than the search gave it.
    """
    own = client.search_model_versions(f"run_id = '{run_id}'")
    registered = {found.source for found in own}
    experiment = client.get_run(run_id).info.experiment_id
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if not registered & {model.model_uri, model.artifact_location}:
            # MLflow would keep the files until somebody runs its garbage collection.
            get_artifact_repository(
                model.artifact_location, tracking_uri=client.tracking_uri
            ).delete_artifacts()
            client.delete_logged_model(model.model_id)
