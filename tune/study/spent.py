"""How long a search has taken, as an attribute of its study."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from optuna.storages import RDBStorage

from tune.study.storage import UNUSABLE, holds_studies, open_storage, unusable

_ELAPSED: Final = "elapsed"
"""Name of the study's attribute: the seconds of all runs together."""


def read_elapsed(url: str, name: str) -> float:
    """The seconds that a search's runs have taken; 0 where its study does not say, or is not there.

    Args:
        url: The storage, which is not made if it is not there.
        name: The search's name.

    Raises:
        ConfigError: The storage cannot be used.
    """
    seconds: Any = None
    if holds_studies(url):
        with _study(url, name) as (storage, study):
            seconds = None if study is None else storage.get_study_user_attrs(study).get(_ELAPSED)
    known = isinstance(seconds, int | float) and 0 <= seconds < math.inf
    return float(seconds) if known else 0.0


def write_elapsed(url: str, name: str, seconds: float) -> None:
    """Store how many seconds a search's runs have taken, where its study is there.

    Args:
        url: The storage, which is not made if it is not there.
        name: The search's name.
        seconds: The seconds.

    Raises:
        ConfigError: The storage cannot be used.
    """
    if holds_studies(url):
        with _study(url, name) as (storage, study):
            if study is not None:
                storage.set_study_user_attr(study, _ELAPSED, round(seconds, 3))


@contextmanager
def _study(url: str, name: str) -> Iterator[tuple[RDBStorage, int | None]]:
    """A storage, and the id of a study in it, if it is there: on connections that end with this.

    Raises:
        ConfigError: The storage cannot be used.
    """
    try:
        storage = open_storage(url)
        try:
            yield storage, _id_of(storage, name)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except UNUSABLE as error:
        raise unusable(url, error) from error


def _id_of(storage: RDBStorage, name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None
