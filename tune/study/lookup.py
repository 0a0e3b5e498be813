"""Finding a search by its name: in this folder, or by the addresses of what machines share."""

from __future__ import annotations

import os
from pathlib import Path

from tune.base.errors import ConfigError
from tune.config.sections import TrackingConfig
from tune.study.folder import SearchFolder
from tune.study.search import HOME, OWN_STUDY, Search
from tune.study.shared import SharedFolder, given_storage, given_study


def folder_of(name: str, tracking: TrackingConfig) -> SearchFolder:
    """The folder of a new search, and its storage if its config names one."""
    if tracking.storage is None:
        return SearchFolder(name)
    study = tracking.study or OWN_STUDY
    return SearchFolder(name, shared=SharedFolder(name, tracking.storage, study, tracking.uri))


def find_folder(
    name: str, storage: str | None = None, study: str | None = None, home: Path = HOME
) -> SearchFolder:
    """The folder of a search that was started, on this machine or on another.

    What is given now is taken rather than what was written then: an address may have moved, or have
    another password. A search that was started in this folder without a storage has none.

    Args:
        name: The search's name.
        storage: Its storage, if it is given; else what this folder knows of it, what its study
            says, or `TUNE_STORAGE`.
        study: The URL of its study's storage, if it is given; else `TUNE_STUDY`, or what this
            folder knows of it.
        home: The folder of all searches.

    Raises:
        ConfigError: Its study cannot be read.
    """
    own = SearchFolder(name, home)
    known = own.cached()
    before = TrackingConfig() if known is None else known.config.tracking
    if known is not None and before.storage is None:
        return own
    study = given_study(study) or before.study
    uri = os.environ.get("MLFLOW_TRACKING_URI") or before.uri
    found = absolute(storage) or before.storage
    if found is None and study is not None:
        found = _storage_in(study, name)
    found = found or absolute(given_storage(None))
    if found is None:
        return own
    return SearchFolder(name, home, SharedFolder(name, found, study or OWN_STUDY, uri))


def known(home: SearchFolder) -> Search | None:
    """The search of a folder, if one was started.

    Raises:
        ConfigError: One was, and cannot be read.
    """
    if home.shared is not None:
        return home.shared.load() or home.cached()
    try:
        return home.load()
    except ConfigError:
        if home.exists:
            raise
        return None


def _storage_in(study: str, name: str) -> str | None:
    """The storage of a search, as its study has it.

    Raises:
        ConfigError: The study cannot be read.
    """
    from tune.study.definition import read_definition  # with Optuna, which takes a while
    from tune.study.storage import has_study

    search = read_definition(study, name) if has_study(study, name) else None
    return None if search is None else search.config.tracking.storage


def absolute(storage: str | None) -> str | None:
    """A storage as it is the same in every folder: of a path, the whole."""
    if storage is None or "://" in storage:
        return storage
    return str(Path(storage).absolute())
