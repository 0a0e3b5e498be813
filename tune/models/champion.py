"""The versions of a registered model, and which of them is the champion."""

from __future__ import annotations

import math
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from tune.errors import ConfigError, first_line
from tune.models.lookup import CHAMPION, UNREADABLE, load_registered
from tune.tracking.schema import Tag, VersionTags

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


def best_champion(client: MlflowClient, champion: ModelVersion) -> ModelVersion:
    """The best champion that there has been, as of a champion's promotion.

    Of a champion whose promotion noted none, it is the one before it with the best test value.
    """
    own = VersionTags.of(champion)
    past = [
        version
        for version in versions_of(client, champion.name)
        if VersionTags.of(version).promoted and int(version.version) <= int(champion.version)
    ]
    noted = [version for version in past if str(version.version) == own.best_champion]
    if noted:
        return noted[0]

    def value(version: ModelVersion) -> float:
        tags = VersionTags.of(version)
        if tags.test is None or tags.objective != own.objective:
            return -math.inf
        return own.objective.signed(tags.test)

    return max([champion, *past], key=value)  # of equals the champion, then the newest


def roll_back(client: MlflowClient, name: str) -> int | None:
    """Make the champion before this one the champion again; returns its version, if any.

    Raises:
        ConfigError: That one cannot be loaded; nothing has changed then.
    """
    champion = champion_of(client, name)
    if champion is None:
        return None
    for version in versions_of(client, name):
        number = int(version.version)
        if number < int(champion.version) and VersionTags.of(version).promoted:
            check_loads(client, version)
            client.set_model_version_tag(name, champion.version, Tag.PROMOTED, "rolled back")
            client.set_registered_model_alias(name, CHAMPION, str(number))
            return number
    return None


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
