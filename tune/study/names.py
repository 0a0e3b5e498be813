"""The names of searches: what may be one, and which were started in a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tune.base.errors import ConfigError
from tune.config.schema import NAME_RULE
from tune.study.search import HOME

SEARCHES: Final = "searches"
"""The folder of all searches' folders, in their home."""
FILE: Final = "search.json"
"""The file of a search in its own."""


def checked_name(name: str, option: str) -> str:
    """A search's name, if it is one.

    Raises:
        ConfigError: It could leave its folder, or be no name of a folder.
    """
    if not re.fullmatch(NAME_RULE, name):
        raise ConfigError(f"{option} {name}: letters, digits and . _ - only, at most 100 of them")
    return name


def searches_in(home: Path = HOME) -> list[str]:
    """Names of the searches that were started here."""
    return sorted(file.parent.name for file in (home / SEARCHES).glob(f"*/{FILE}"))


def latest_search(home: Path) -> str:
    """Name of the search that was started or went on last.

    Raises:
        ConfigError: None was started here.
    """
    files = (home / SEARCHES).glob(f"*/{FILE}")
    latest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    if latest is None:
        raise ConfigError(f"no search was started in this folder ({home / SEARCHES})")
    return latest.parent.name
