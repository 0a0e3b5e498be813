"""The versions of a registered model, and which of them is the champion."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from tune.base.errors import ConfigError, first_line
from tune.models.lookup import CHAMPION, UNREADABLE, load_registered
from tune.tracking.schema import ROLLED_BACK, YES, Tag
from tune.tracking.tags import VersionTags

_NONE: Final = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
"""What MLflow answers where there is no such model, or none with this alias."""


def champion_of(client: MlflowClient, name: str) -> ModelVersion | None:
    """The version that is the champion, if one is.

    Raises:
        MlflowException: MLflow does not say.
    """
    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in _NONE:
            raise
        return None


def versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions, the newest first."""
    found = client.search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: -int(version.version))


def best_champions(client: MlflowClient, champion: ModelVersion) -> list[ModelVersion]:
    """The best champion that there has been, as of a champion's promotion, and what may be better.

    Those are the ones that its promotion noted, but for what was rolled back since. Of a champion
    that noted none it is, of itself and those before it, the one with the best test value.
    """
    own = VersionTags.of(champion)
    promoted = [
        version
        for version in versions_of(client, champion.name)
        if VersionTags.of(version).promoted
    ]
    noted = [version for version in promoted if str(version.version) in own.best_champions]
    if noted:
        return noted
    past = [version for version in promoted if int(version.version) <= int(champion.version)]

    def value(version: ModelVersion) -> float:
        tags = VersionTags.of(version)
        if tags.test is None or tags.objective != own.objective:
            return -math.inf
        return own.objective.signed(tags.test)

    return [max([champion, *past], key=value)]  # of equals the champion, then the newest


def roll_back(client: MlflowClient, name: str) -> int | None:
    """Make the champion before this one the champion again; returns its version, if any.

    Raises:
        ConfigError: That one cannot be loaded; nothing has changed then.
    """
    champion = champion_of(client, name)
    before = None if champion is None else _champion_before(client, champion)
    if champion is None or before is None:
        return None
    check_loads(client, before)
    # A kill in between must not leave a champion that counts as taken back.
    client.set_registered_model_alias(name, CHAMPION, before.version)
    client.set_model_version_tag(name, champion.version, Tag.PROMOTED, ROLLED_BACK)
    return int(before.version)


def _champion_before(client: MlflowClient, champion: ModelVersion) -> ModelVersion | None:
    """The one that a champion replaced, else (where none is noted) the newest older champion."""
    past = [each for each in versions_of(client, champion.name) if VersionTags.of(each).promoted]
    own = VersionTags.of(champion)
    replaced = [each for each in past if str(each.version) == own.previous]
    older = [each for each in past if int(each.version) < int(champion.version)]
    return next(iter([*replaced, *older]), None)


def promote_by_hand(client: MlflowClient, version: ModelVersion) -> ModelVersion | None:
    """Make a version the champion whatever the gate has said, and note that on it.

    The gate goes on from it: a later challenger meets it, and the best champion so far, as which
    it is noted beside the ones before, since it was compared with none.

    Returns:
        The champion before.

    Raises:
        ConfigError: It cannot be loaded, or is the champion; nothing has changed then.
    """
    name, number = version.name, str(version.version)
    before = champion_of(client, name)
    is_champion = before is not None and str(before.version) == number
    if is_champion and VersionTags.of(version).promoted:
        raise ConfigError(f"{name} version {number} is the champion already")
    check_loads(client, version)
    if not is_champion:  # else it was noted by one whose last request failed
        for key, value in _tags_by_hand(client, version, before).items():
            client.set_model_version_tag(name, number, key, value)
    client.set_registered_model_alias(name, CHAMPION, number)
    client.set_model_version_tag(name, number, Tag.PROMOTED, YES)
    return before


def _tags_by_hand(
    client: MlflowClient, version: ModelVersion, before: ModelVersion | None
) -> dict[str, str]:
    """What a version is tagged with that is promoted by hand: when, over which, and what before."""
    number, decision = str(version.version), VersionTags.of(version).decision
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    over = f"over version {before.version}" if before else "where there was no champion"
    since = f"; before that: {decision}" if decision else ""
    tags = {Tag.DECISION: f"promoted by hand, {when}, {over}{since}"}
    if before is None:
        return tags | {Tag.BEST_CHAMPION: number}
    bests = {str(best.version) for best in best_champions(client, before)}
    noted = " ".join(sorted({*bests, number}, key=int))
    return tags | {Tag.PREVIOUS: str(before.version), Tag.BEST_CHAMPION: noted}


def check_loads(client: MlflowClient, version: ModelVersion) -> None:
    """Check that a version can be the champion: its model is there, and can be read.

    Raises:
        ConfigError: It is not, or cannot.
    """
    try:
        load_registered(client, version)
    except (MlflowException, *UNREADABLE) as error:
        raise ConfigError(
            f"{version.name} version {version.version} cannot be loaded ({first_line(error)}): the "
            "champion stays as it is"
        ) from error
