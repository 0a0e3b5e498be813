"""The config that the doctor judges: whether a search would run depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from tune.base.errors import ConfigError
from tune.base.finding import Finding
from tune.config.loading import check_files
from tune.config.presets import DEFAULT
from tune.config.schema import SearchConfig


@dataclass(frozen=True)
class JudgedConfig:
    """A config that a search would be started with.

    Attributes:
        name: What a user calls it; None is the default.
        config: The config.
    """

    name: str | None
    config: SearchConfig

    @property
    def is_given(self) -> bool:
        """Whether a user has named it."""
        return self.name is not None


def check_config(judged: JudgedConfig) -> Finding:
    """Which config is judged, and whether the files that it names are there."""
    if not judged.is_given:
        fix = "--config FILE judges another"
        return Finding("config", "ok", f"{DEFAULT}, the default, is judged; {fix}")
    try:
        check_files(judged.config)
    except ConfigError as error:
        return Finding("config", "fail", str(error), "name files and folders that are there")
    return Finding("config", "ok", f"{judged.name} is judged")
