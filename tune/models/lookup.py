"""The model that a command works with: `imagenet`, a folder, or one that MLflow has registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from safetensors import SafetensorError

from trainable.inference.classifier import Classifier, imagenet_classifier
from tune.errors import ConfigError, first_line
from tune.tracking.server import check_tracking, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

IMAGENET: Final = "imagenet"
_REGISTERED: Final = "models:/"
_UNREADABLE: Final = (OSError, RuntimeError, SafetensorError, ValueError)
"""What a folder raises that holds no classifier."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model, and where it is from.

    Attributes:
        name: Such as `models:/resnet18-digits/3`, `imagenet` or a folder.
        classifier: The model.
        version: In the registry, if it is from there.
    """

    name: str
    classifier: Classifier
    version: ModelVersion | None = None


def load_model(given: str | None, uri: str | None = None) -> Model:
    """Load a model.

    Args:
        given: `imagenet`, the folder that a classifier was saved in, `models:/NAME@ALIAS` or
            `models:/NAME/VERSION`; None is the champion of the only registered model.
        uri: MLflow's tracking URI, if it is not what MLflow itself takes.

    Raises:
        ConfigError: There is no such model, or it cannot be read.
    """
    if given is None or given.startswith(_REGISTERED):
        return _from_registry(given, tracking_uri(uri))
    try:
        classifier = imagenet_classifier() if given == IMAGENET else _from_folder(Path(given))
    except ValueError as error:
        raise ConfigError(f"--model {given}: {error}") from error
    return Model(given, classifier)


def _from_folder(path: Path) -> Classifier:
    folder = path.parent if path.is_file() else path  # one of a classifier's two files
    if not folder.is_dir():
        raise ValueError("no such folder; give one, imagenet, or models:/NAME@champion")
    try:
        return Classifier.load(folder)
    except _UNREADABLE as error:
        raise ValueError(f"it holds no classifier ({first_line(error)})") from error


def _from_registry(given: str | None, uri: str | None) -> Model:
    check_tracking(uri)

    import mlflow
    from mlflow.exceptions import MlflowException

    from tune.models.registered import NONE_REGISTERED, find_version, load_registered, only_champion

    if uri is not None:
        mlflow.set_tracking_uri(uri)
    if not _is_there(mlflow.get_tracking_uri()):
        raise ConfigError(NONE_REGISTERED)
    client = mlflow.MlflowClient()
    name = given or only_champion(client)
    try:
        version = find_version(client, name)
        return Model(
            f"{_REGISTERED}{version.name}/{version.version}", load_registered(version), version
        )
    except (MlflowException, *_UNREADABLE) as error:
        raise ConfigError(f"--model {name}: {first_line(error)}") from error


def _is_there(uri: str) -> bool:
    """Whether a store is there; MLflow would make a database that is not, to look into it."""
    scheme, _, path = uri.partition(":///")
    return scheme != "sqlite" or Path(path).is_file()
