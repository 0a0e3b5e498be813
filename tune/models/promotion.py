"""The gate: every winner is registered as a version, and the best of them is the champion."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from trainable.data.datasets import Dataset
from trainable.inference.classifier import Classifier
from trainable.metrics import Objective
from trainable.predictions import Predictions
from tune.config.schema import SearchConfig
from tune.models.champion import best_champion, champion_of, check_loads, versions_of
from tune.models.comparison import Comparison
from tune.models.incumbent import compare_with
from tune.models.judged import sketch, times_judged
from tune.models.lookup import CHAMPION
from tune.models.packaging import log_classifier
from tune.models.unseen import IncomparableError
from tune.models.verdict import Rival, decide
from tune.tracking.client import make_once
from tune.tracking.schema import Tag, VersionTags, champion_score
from tune.tracking.server import is_mlflows_own

_PATIENCE: Final = 60.0
"""Seconds that a version waits for the decision on an older one, which may be that much older."""


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


@dataclass(frozen=True)
class Standing:
    """What became of a challenger.

    Attributes:
        version: Its version.
        promoted: Whether it is the champion now.
        comparison: With the champion before it, unless there was none to compare with.
        reason: The decision in words.
        best: The version that is the best champion so far, if this one was promoted.
    """

    version: int
    promoted: bool
    comparison: Comparison | None
    reason: str
    best: int | None = None


def settle_champion(
    client: MlflowClient, config: SearchConfig, challenger: Challenger, run_id: str
) -> Standing:
    """Register a challenger, and make it the champion if the config's rule says so.

    What has been done by a process that was killed is not done again. Of searches that end
    together, on whatever machines, each sees the decision on those whose version is older.

    Args:
        client: For the record and the registry.
        config: The search's.
        challenger: Its winner.
        run_id: Its run.
    """
    name = config.model_name
    version = _find(client, name, run_id, challenger)
    if version is None:
        version = _register(client, config, challenger, run_id)
    _wait_for_turn(client, version)
    while True:
        before = champion_of(client, name)
        standing = _judge(client, config, challenger, int(version.version), before)
        # Somebody may have moved it by hand in between.
        if _number(champion_of(client, name)) == _number(before):
            break
    _tag(client, name, standing, sketch(challenger.dataset))
    if standing.promoted:
        check_loads(client, version)
        client.set_registered_model_alias(name, CHAMPION, version.version)
    promoted = "yes" if standing.promoted else "no"
    client.set_model_version_tag(name, version.version, Tag.PROMOTED, promoted)
    return standing


def _find(
    client: MlflowClient, name: str, run_id: str, challenger: Challenger
) -> ModelVersion | None:
    for found in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
        if found.tags.items() >= challenger.identity.items():
            return found
    return None


def _register(
    client: MlflowClient, config: SearchConfig, challenger: Challenger, run_id: str
) -> ModelVersion:
    name, image = config.model_name, challenger.dataset.test.images[0]
    _delete_unregistered(client, name, run_id)
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
        lambda: _find(client, name, run_id, challenger),
    )


def _make_model(client: MlflowClient, name: str) -> None:
    """Make the registered model, unless it is there."""

    def find() -> RegisteredModel | None:
        return next(iter(client.search_registered_models(f"name = '{name}'")), None)

    if find() is None:
        make_once(client, lambda: client.create_registered_model(name), find)


def _delete_unregistered(client: MlflowClient, name: str, run_id: str) -> None:
    """Delete what a process logged on this run that was killed before it could register it."""
    own = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    registered = {found.source for found in own}
    experiment = client.get_run(run_id).info.experiment_id
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if not registered & {model.model_uri, model.artifact_location}:
            # MLflow would keep the files until somebody runs its garbage collection.
            get_artifact_repository(
                model.artifact_location, tracking_uri=client.tracking_uri
            ).delete_artifacts()
            client.delete_logged_model(model.model_id)


def _wait_for_turn(client: MlflowClient, own: ModelVersion) -> None:
    """Wait for the decision on older versions, which the registry numbers one after the other.

    Not for those of a search that was killed before it came to one: they are old when this one is
    made, or do not change for a while.
    """
    oldest = own.creation_timestamp - 1000 * _PATIENCE

    def is_its_turn() -> bool:
        return all(
            VersionTags.of(version).promoted is not None or version.creation_timestamp < oldest
            for version in versions_of(client, own.name)
            if int(version.version) < int(own.version)
        )

    Retrying(
        retry=retry_if_result(lambda turn: not turn),
        wait=wait_fixed(0.2),
        stop=stop_after_delay(_PATIENCE),
        retry_error_callback=lambda _: None,
    )(is_its_turn)


def _judge(
    client: MlflowClient,
    config: SearchConfig,
    challenger: Challenger,
    version: int,
    champion: ModelVersion | None,
) -> Standing:
    registry = config.registry
    if champion is not None and int(champion.version) == version:  # before a kill
        return Standing(version, True, None, VersionTags.of(champion).decision)
    if champion is None:
        promoted = registry.promote != "never"
        reason = "the first champion" if promoted else "registry.promote=never"
        return Standing(version, promoted, None, reason, version)
    best = best_champion(client, champion)
    try:
        rivals = _rivals(client, config, challenger, champion, best)
    except IncomparableError as error:
        reason = f"version {champion.version} {error}: it cannot be compared"
        return Standing(version, registry.promote == "always", None, reason, version)
    judged = times_judged(client, config.model_name, version, sketch(challenger.dataset))
    verdict = decide(registry.promote, registry.margin, rivals, judged)
    last = rivals[-1]
    number = version if last.comparison.is_better else last.version
    return Standing(version, verdict.promoted, rivals[0].comparison, verdict.reason, number)


def _rivals(
    client: MlflowClient,
    config: SearchConfig,
    challenger: Challenger,
    champion: ModelVersion,
    best: ModelVersion,
) -> list[Rival]:
    """The champion and, if it is another that can be read, the best champion so far.

    The last champion alone would not do: each may be a little worse than the one before, and
    after ten of them nothing is left.

    Raises:
        IncomparableError: The champion cannot be compared.
    """
    objective, alpha = Objective.named(config.objective.metric), config.registry.alpha

    def rival(role: str, version: ModelVersion) -> Rival:
        dataset, test = challenger.dataset, challenger.test
        comparison = compare_with(client, version, dataset, test, objective, alpha)
        return Rival(int(version.version), role, comparison)

    rivals = [rival("the champion", champion)]
    if best.version != champion.version:
        with suppress(IncomparableError):  # of a model whose files are gone, nothing can be asked
            rivals.append(rival("the best one so far", best))
    return rivals


def _tag(client: MlflowClient, name: str, standing: Standing, images: str) -> None:
    tags, comparison = {Tag.DECISION: standing.reason}, standing.comparison
    if comparison is not None:
        tags |= {
            champion_score(comparison.objective): f"{comparison.champion:.6f}",
            Tag.P_VALUE: f"{comparison.p_value:.6g}",
            Tag.DIFFERENCE: f"{comparison.low:+.6f} to {comparison.high:+.6f}",
            Tag.MOST_LOST: f"{comparison.most_lost:.6f}",
            Tag.TEST_IMAGES: images,
        }
    if standing.promoted and standing.best is not None:
        tags[Tag.BEST_CHAMPION] = str(standing.best)
    for key, value in tags.items():
        client.set_model_version_tag(name, str(standing.version), key, value)


def _number(version: ModelVersion | None) -> int | None:
    return None if version is None else int(version.version)
