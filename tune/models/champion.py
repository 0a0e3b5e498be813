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

ROLLED_BACK: Final = "rolled back"
"""What :attr:`Tag.PROMOTED` says of a champion that was taken back."""


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
    if champion is None:
        return None
    for version in versions_of(client, name):
        number = int(version.version)
        if number < int(champion.version) and VersionTags.of(version).promoted:
            check_loads(client, version)
            # A kill in between must not leave a champion that counts as taken back.
            client.set_registered_model_alias(name, CHAMPION, str(number))
            client.set_model_version_tag(name, champion.version, Tag.PROMOTED, ROLLED_BACK)
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
