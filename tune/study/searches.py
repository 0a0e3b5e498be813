"""Which searches were started in a folder, and what a search may be called."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from tune.base.errors import ConfigError
from tune.config.schema import NAME_RULE
from tune.study.search import HOME

SEARCHES, FILE = "searches", "search.json"


def unknown(name: str, home: Path) -> str:
    """An error message: no search of this name was started here, and which ones were."""
    known = searches_in(home)
    if not known:
        return f"search {name}: no search was started in this folder ({HOME / SEARCHES})"
    near = difflib.get_close_matches(name, known, len(known), cutoff=0)
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return f"search {name}: no such search; there is {', '.join(near[:10])}{more}"


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
