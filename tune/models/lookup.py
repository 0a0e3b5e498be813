"""The model that a name means: `imagenet`, a folder, or one that MLflow has registered."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from safetensors import SafetensorError

from trainable.data.seen import Seen
from trainable.files.places import is_file, is_folder
from trainable.inference.classifier import SEEN, Classifier, imagenet_classifier
from tune.base.commands import as_typed
from tune.base.errors import ConfigError, first_line
from tune.tracking.schema import Artifact
from tune.tracking.server import check_tracking, is_there, open_client, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

IMAGENET: Final = "imagenet"
CHAMPION: Final = "champion"
"""Alias of the best version of a model."""
UNREADABLE: Final = (OSError, RuntimeError, SafetensorError, ValueError)
"""What a folder raises that holds no classifier."""

_REGISTERED: Final = "models:/"
_URI: Final = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<number>\d+))")
_NAME: Final = re.compile(r"[^/:@]+")
"""The bare name of a registered model, which MLflow allows neither slash nor colon."""
_MOST_NAMES: Final = 5
"""Names of registered models that a message lists."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model, and where it is from.

    Attributes:
        name: Such as `models:/resnet18-digits/3`, `imagenet` or a folder.
        classifier: The model.
        version: In the registry, if it is from there.
        client: For that registry.
    """

    name: str
    classifier: Classifier
    version: ModelVersion | None = None
    client: MlflowClient | None = None


def load_model(given: str | None, uri: str | None = None) -> Model:
    """Load a model.

    Args:
        given: `imagenet`, the folder that a classifier was saved in, `models:/NAME@ALIAS`,
            `models:/NAME/VERSION`, or the bare name of a registered model, which stands for its
            champion; None is the champion of the only registered model. A folder goes before a
            registered model of the same name.
        uri: MLflow's tracking URI, if it is not what MLflow itself takes.

    Raises:
        ConfigError: There is no such model, or it cannot be read.
    """
    if given is None or given.startswith(_REGISTERED):
        check_tracking(tracking_uri(uri))
        if not is_there(uri):
            raise ConfigError(_none_registered())
        return _from_registry(given, open_client(uri))
    if _may_be_registered(given):
        check_tracking(tracking_uri(uri))
        if is_there(uri):
            return _from_registry(given, open_client(uri))
    try:
        classifier = imagenet_classifier() if given == IMAGENET else _from_folder(Path(given))
    except ValueError as error:
        raise ConfigError(f"--model {given}: {error}") from error
    return Model(given, classifier)


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


def load_registered(client: MlflowClient, version: ModelVersion) -> Classifier:
    """Read the classifier of a version, and none of its code, from where MLflow keeps its files.

    Raises:
        MlflowException, OSError: MLflow is away, or the files are.
        RuntimeError, SafetensorError, ValueError: The version holds no classifier.
    """
    from mlflow.artifacts import download_artifacts

    from tune.tracking.client import ask

    # Not models:/NAME/VERSION, which MLflow looks up where its own state points to.
    files = client.get_model_version_download_uri(version.name, version.version)
    source = f"{files.rstrip('/')}/artifacts/{Artifact.CLASSIFIER}"
    with TemporaryDirectory() as folder:
        uri = client.tracking_uri
        path = ask(client, partial(download_artifacts, source, dst_path=folder, tracking_uri=uri))
        return Classifier.load(Path(path))


def seen_by_registered(client: MlflowClient, version: ModelVersion) -> Seen | None:
    """The images that a version and its search have seen; None if its files do not say.

    Raises:
        MlflowException, OSError: MLflow is away, or the files are.
        SafetensorError, ValueError: They are damaged.
    """
    from mlflow.artifacts import download_artifacts, list_artifacts

    from tune.tracking.client import ask

    files = client.get_model_version_download_uri(version.name, version.version)
    source, uri = f"{files.rstrip('/')}/artifacts/{Artifact.CLASSIFIER}", client.tracking_uri
    there = ask(client, partial(list_artifacts, source, tracking_uri=uri))
    if not any(Path(file.path).name == SEEN for file in there):
        return None
    with TemporaryDirectory() as folder:
        file = f"{source}/{SEEN}"
        path = ask(client, partial(download_artifacts, file, dst_path=folder, tracking_uri=uri))
        return Seen.load(Path(path))


def nearest_names(name: str, known: Sequence[str]) -> str:
    """What to say of the registered models where none has a name: the nearest ones, or all."""
    near = difflib.get_close_matches(name, known, 3)
    if near:
        return f"nearest: {', '.join(near)}"
    return f"there is {', '.join(sorted(known)[:_MOST_NAMES])}" if known else "none is registered"


def _may_be_registered(given: str) -> bool:
    """Whether a word can only be the bare name of a registered model."""
    path = Path(given)
    taken = given == IMAGENET or is_folder(path) or is_file(path)
    return bool(_NAME.fullmatch(given)) and not taken


def _from_folder(path: Path) -> Classifier:
    folder = path.parent if is_file(path) else path  # one of a classifier's two files
    if not is_folder(folder):
        raise ValueError("no such folder; give one, imagenet, or models:/NAME@champion")
    try:
        return Classifier.load(folder)
    except UNREADABLE as error:
        raise ValueError(f"it holds no classifier ({first_line(error)})") from error


def _from_registry(given: str | None, client: MlflowClient) -> Model:
    from mlflow.exceptions import MlflowException

    name = given or _only_champion(client)
    address = name if name.startswith(_REGISTERED) else f"{_REGISTERED}{name}@{CHAMPION}"
    try:
        version = find_version(client, address)
        classifier = load_registered(client, version)
    except (MlflowException, *UNREADABLE) as error:
        kinds = "registered model" if name == address else "registered model, folder or file"
        reason = _why_not_found(client, address, kinds) or first_line(error)
        raise ConfigError(f"--model {name}: {reason}") from error
    return Model(f"{_REGISTERED}{version.name}/{version.version}", classifier, version, client)


def _why_not_found(client: MlflowClient, uri: str, kinds: str) -> str | None:
    """What is wrong with a URI if no model has its name, or that model has no such alias."""
    from mlflow.exceptions import MlflowException

    from tune.tracking.queries import find_models

    parts = _URI.fullmatch(uri)
    if parts is None:
        return None
    name, alias = parts["name"], parts["alias"]
    try:
        models = {model.name: model for model in find_models(client)}
    except MlflowException:
        return None  # what was raised before says more
    if name not in models:
        return f"no such {kinds}; {nearest_names(name, list(models))}"
    if alias is None or alias in models[name].aliases:
        return None
    return f"{name} has no version with the alias {alias}; give models:/{name}/VERSION"


def _only_champion(client: MlflowClient) -> str:
    """URI of the champion of the one model that is registered.

    Raises:
        ConfigError: None is, or several are.
    """
    from tune.tracking.queries import find_models

    names = sorted(model.name for model in find_models(client))
    if not names:
        raise ConfigError(_none_registered())
    uris = [f"{_REGISTERED}{name}@{CHAMPION}" for name in names]
    if len(uris) > 1:
        raise ConfigError(f"several models are registered: give --model {' or '.join(uris)}")
    return uris[0]


def _none_registered() -> str:
    return f"no model is registered here: {as_typed('search')} makes one; or give --model"
