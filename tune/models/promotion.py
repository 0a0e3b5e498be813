"""The model registry: every winner is a version, and the best of them the champion."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from safetensors import SafetensorError

from trainable.data.datasets import Dataset
from trainable.inference.classifier import Classifier
from tune.config.schema import SearchConfig
from tune.errors import first_line
from tune.models.comparison import Comparison, compare, promotes
from tune.models.packaging import log_classifier
from tune.models.registered import CHAMPION, load_registered

PROMOTED: Final = "tune.promoted"
"""Tag of versions of which it is decided: `yes` if they became the champion."""

_DECISION: Final = "tune.decision"
_PATIENCE: Final = 60.0
"""Seconds that a version waits for the decision on one that is older, and may be older."""

_BATCH: Final = 256


@dataclass(frozen=True, eq=False)
class Challenger:
    """A model that may become the champion.

    Attributes:
        classifier: The model.
        dataset: Whose test images it was shown.
        right: Whether it was right, for each; shape (N,).
        identity: Tags that no other model of its search has.
        scores: Further tags.
    """

    classifier: Classifier
    dataset: Dataset
    right: NDArray[np.bool_]
    identity: Mapping[str, str]
    scores: Mapping[str, str]


@dataclass(frozen=True)
class Standing:
    """What became of a challenger.

    Attributes:
        version: Its version.
        promoted: Whether it is the champion now.
        comparison: With the champion before it, unless there was none to compare with.
        reason: Of the decision, in words.
    """

    version: int
    promoted: bool
    comparison: Comparison | None
    reason: str


def settle_champion(config: SearchConfig, challenger: Challenger, run_id: str) -> Standing:
    """Register a challenger, and make it the champion if the config's rule says so.

    What has been done by a process that was killed is not done again. Of searches that end
    together, on whatever machines, each sees the decision on those whose version is older.

    Args:
        config: Of the search.
        challenger: Its winner.
        run_id: Of its parent run.
    """
    client, name = MlflowClient(), config.model_name
    version = _find(client, name, run_id, challenger)
    if version is None:
        version = _register(client, name, run_id, challenger)
    _wait_for_turn(client, version)
    while True:
        before = champion_of(client, name)
        standing = _judge(client, config, challenger, int(version.version), before)
        # Somebody may have moved it by hand in between.
        if _number(champion_of(client, name)) == _number(before):
            break
    _tag(client, name, standing)
    if standing.promoted:
        client.set_registered_model_alias(name, CHAMPION, version.version)
    promoted = "yes" if standing.promoted else "no"
    client.set_model_version_tag(name, version.version, PROMOTED, promoted)
    return standing


def champion_of(client: MlflowClient, name: str) -> ModelVersion | None:
    """The version that is the champion, if one is."""
    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        return None


def versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions, the newest first."""
    found = client.search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: -int(version.version))


def roll_back(client: MlflowClient, name: str) -> int | None:
    """Make the champion before this one the champion again; returns its version, if any."""
    now = _number(champion_of(client, name))
    for version in versions_of(client, name):
        number = int(version.version)
        if now is not None and number < now and version.tags.get(PROMOTED) == "yes":
            client.set_model_version_tag(name, str(now), PROMOTED, "rolled back")
            client.set_registered_model_alias(name, CHAMPION, str(number))
            return number
    return None


def _find(
    client: MlflowClient, name: str, run_id: str, challenger: Challenger
) -> ModelVersion | None:
    for found in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
        if found.tags.items() >= challenger.identity.items():
            return found
    return None


def _register(client: MlflowClient, name: str, run_id: str, challenger: Challenger) -> ModelVersion:
    _delete_unregistered(client, name, run_id)
    info = log_classifier(challenger.classifier, challenger.dataset.test.images[0], run_id)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    tags = {**challenger.identity, **challenger.scores}
    return client.create_model_version(
        name, info.model_uri, run_id, tags=tags, model_id=info.model_id
    )


def _wait_for_turn(client: MlflowClient, own: ModelVersion) -> None:
    """Wait for the decision on older versions, which the registry numbers one after the other.

    Not for those of a search that was killed before it came to one: they are old when this one is
    made, or do not change for a while.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        oldest = own.creation_timestamp - 1000 * _PATIENCE
        if all(
            PROMOTED in version.tags or version.creation_timestamp < oldest
            for version in versions_of(client, own.name)
            if int(version.version) < int(own.version)
        ):
            return
        time.sleep(0.2)


def _delete_unregistered(client: MlflowClient, name: str, run_id: str) -> None:
    """Delete what a process logged on this run that was killed before it could register it."""
    own = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    registered = {found.model_id for found in own}
    experiment = client.get_run(run_id).info.experiment_id
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if model.model_id not in registered:
            client.delete_logged_model(model.model_id)


def _judge(
    client: MlflowClient,
    config: SearchConfig,
    challenger: Challenger,
    version: int,
    champion: ModelVersion | None,
) -> Standing:
    rule, alpha = config.registry.promote, config.registry.alpha
    if champion is not None and int(champion.version) == version:  # before a kill
        return Standing(version, True, None, champion.tags[_DECISION])
    if champion is None:
        promoted = promotes(rule, None, alpha)
        reason = "the first champion" if promoted else f"registry.promote={rule}"
        return Standing(version, promoted, None, reason)
    try:
        right = _answers(client, champion, challenger.dataset)
    except _IncomparableError as error:
        reason = f"version {champion.version} {error}: it cannot be compared"
        return Standing(version, rule == "always", None, reason)
    comparison = compare(right, challenger.right, alpha)
    promoted = promotes(rule, comparison, alpha)
    word = "promoted" if promoted else "not promoted"
    return Standing(version, promoted, comparison, f"{word} ({rule}): {comparison}")


class _IncomparableError(Exception):
    """A champion that cannot be asked about the images."""


def _answers(client: MlflowClient, champion: ModelVersion, dataset: Dataset) -> NDArray[np.bool_]:
    """Whether the champion is right, for each test image.

    As its own search found it, if that was on the same images; else it is shown these.

    Raises:
        _IncomparableError: It has other classes, or cannot be read.
    """
    recorded = _recorded_answers(client, champion, dataset)
    if recorded is not None:
        return recorded
    classifier = _load(champion)
    if set(classifier.spec.classes) != set(dataset.classes):
        raise _IncomparableError("has other classes")
    names = np.array(classifier.spec.classes)
    answers = [
        names[classifier.probabilities(images).argmax(1)]
        for images in dataset.test.images.split(_BATCH)
    ]
    truth = np.array(dataset.classes)[dataset.test.labels.numpy()]
    return np.concatenate(answers) == truth


def _load(champion: ModelVersion) -> Classifier:
    try:
        return load_registered(champion)
    except (MlflowException, OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = first_line(error)
        raise _IncomparableError(f"cannot be read ({reason})") from error


def _recorded_answers(
    client: MlflowClient, champion: ModelVersion, dataset: Dataset
) -> NDArray[np.bool_] | None:
    try:
        with TemporaryDirectory() as folder:
            path = client.download_artifacts(champion.run_id, "test.json", folder)
            found = json.loads(Path(path).read_text())
    except (MlflowException, OSError, ValueError):
        return None
    if found["fingerprint"] != dataset.test_fingerprint():
        return None
    # A search that went on with more trials has told the answers of its new winner since.
    if not champion.tags.items() >= found["identity"].items():
        return None
    return np.array([answer == "1" for answer in found["right"]])


def _tag(client: MlflowClient, name: str, standing: Standing) -> None:
    tags, comparison = {_DECISION: standing.reason}, standing.comparison
    if comparison is not None:
        tags |= {
            "tune.champion_test_acc": f"{comparison.champion:.6f}",
            "tune.p_value": f"{comparison.p_value:.6g}",
            "tune.difference": f"{comparison.low:+.6f} to {comparison.high:+.6f}",
        }
    for key, value in tags.items():
        client.set_model_version_tag(name, str(standing.version), key, value)


def _number(version: ModelVersion | None) -> int | None:
    return None if version is None else int(version.version)
