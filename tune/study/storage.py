"""Optuna's storage: opening it, its studies, and waiting for it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import optuna
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study
from sqlalchemy import column, delete, event, literal_column, make_url, table, update
from sqlalchemy.exc import SQLAlchemyError
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
)

from trainable.files.places import is_folder
from tune.base.errors import ConfigError, Halt, first_line
from tune.base.passwords import masked
from tune.config.schema import SearchConfig
from tune.study.search import OWN_STUDY

PATIENCE: Final = 120.0
"""Seconds for which a storage that is locked or away is waited for."""
KEEPALIVE: Final = {"idle": 20, "interval": 10, "count": 3}
"""After how many seconds of silence, how often and how many times one end of a connection asks the
other for a sign of life: a machine that has lost its power has lost its turn within a minute."""
SILENCE: Final = 50
"""Seconds after which a connection ends to which nobody answers: as many as these."""
UNUSABLE: Final = (SQLAlchemyError, OptunaError, ImportError)
"""What is raised where a storage cannot be used."""


class TurnTakenError(Exception):
    """Another process has the turn to run a search, for now at least."""


_MADE_MEANWHILE: Final = re.compile(r"already exists|unique constraint|is locked", re.IGNORECASE)
_AWAY: Final = (SQLAlchemyError, StorageInternalError, TurnTakenError)
_FULL: Final = "is full"
_SQLITE: Final = "sqlite:///"
_CONNECT_SECONDS: Final = 5
_OF_LIBPQ: Final = {"psycopg", "psycopg2"}
_Result = TypeVar("_Result")


def storage_url(config: SearchConfig) -> str:
    """The URL of Optuna's storage."""
    return config.tracking.study or OWN_STUDY


def open_storage(url: str) -> RDBStorage:
    """A storage, whose tables another process may be making at this very moment.

    Optuna looks whether a table is there, and then makes it: of two processes that open a new
    database together, one fails. Trying once more is enough.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _make_private(url)
    attempts = Retrying(
        retry=retry_if_exception(lambda error: bool(_MADE_MEANWHILE.search(reason_of(error)))),
        wait=wait_exponential(multiplier=0.1),
        stop=stop_after_attempt(6),
        reraise=True,
    )
    storage = attempts(RDBStorage, url, {"connect_args": connect_args(url)})
    if url.startswith(_SQLITE):
        event.listen(storage.engine, "connect", _survive_power)
        storage.engine.dispose()  # of connections that were made before
    return storage


def connect_args(url: str) -> dict[str, int]:
    """How a client of PostgreSQL's notices that nothing comes back any more, as a server does.

    Without these it would wait for ever where packets are lost: what is asked again is asked only
    once a question has failed. What the URL itself says of them stays.
    """
    parsed = make_url(url)
    if parsed.get_driver_name() not in _OF_LIBPQ:  # others have other names for these
        return {}
    settings = {f"keepalives_{name}": value for name, value in KEEPALIVE.items()}
    settings |= {"connect_timeout": _CONNECT_SECONDS, "tcp_user_timeout": 1000 * SILENCE}
    return {name: value for name, value in settings.items() if name not in parsed.query}


def _survive_power(connection: sqlite3.Connection, _: object) -> None:
    """Have SQLite also sync that a journal is gone: a loss of power would undo its transaction."""
    connection.execute("PRAGMA synchronous = EXTRA")


def _make_private(url: str) -> None:
    """Make the file of a new SQLite database for its owner alone: SQLite takes an empty one."""
    folder = Path(url.removeprefix(_SQLITE)).parent
    if url.startswith(_SQLITE) and is_folder(folder):
        with suppress(OSError):  # it is there already, or the database says more
            Path(url.removeprefix(_SQLITE)).touch(mode=0o600, exist_ok=False)


def holds_studies(url: str) -> bool:
    """Whether a storage may hold studies; a file is looked at without changing it."""
    if not url.startswith(_SQLITE):
        return True
    path = Path(url.removeprefix(_SQLITE))
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as file:
            names = file.execute("SELECT name FROM sqlite_master WHERE name = 'studies'")
            return names.fetchone() is not None
    except sqlite3.Error:
        return False


def has_study(url: str, name: str) -> bool:
    """Whether a storage holds a study; none is made by looking.

    Raises:
        ConfigError: The storage cannot be used.
    """
    if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).is_file():
        return False
    try:
        return name in optuna.get_all_study_names(open_storage(url))
    except UNUSABLE as error:
        raise unusable(url, error) from error


def load_study(url: str, name: str) -> Study:
    """A study that is there.

    Raises:
        ConfigError: It is not, or the storage cannot be used.
    """
    try:
        return optuna.load_study(study_name=name, storage=open_storage(url))
    except KeyError as error:
        raise ConfigError(f"search {name}: {masked(url)} has no study of it") from error
    except UNUSABLE as error:
        raise unusable(url, error) from error


def reopen(url: str, trials: Sequence[int], marks: Sequence[str]) -> None:
    """Have trials run again that have ended, with all their epochs.

    Optuna itself has no way back from an end. It is written to its tables as its own end is, all
    at once, and by a connection of its own: a study that is open would not notice.

    Args:
        url: The storage.
        trials: Optuna's ids of the trials.
        marks: Attributes of the trials that are deleted.
    """
    if not trials:
        return
    ended = table("trials", *map(column, ("trial_id", "state", "datetime_complete")))
    values = table("trial_values", column("trial_id"))
    attrs = table("trial_user_attributes", column("trial_id"), column("key"))
    running: dict[str, Any] = {"state": literal_column("'RUNNING'"), "datetime_complete": None}
    with open_storage(url).engine.begin() as connection:
        for statement in (
            update(ended).values(running),
            delete(values),
            delete(attrs).where(attrs.c.key.in_(marks)),
        ):
            connection.execute(statement.where(statement.table.c.trial_id.in_(trials)))


def patiently(action: Callable[[], _Result], patience: float) -> _Result:
    """Do something with the storage, again and again while it is locked or away.

    Args:
        action: What to do; done twice, it comes to the same.
        patience: Seconds until it is given up.

    Raises:
        Halt: The storage is full, or has been away for too long.
    """
    attempts = Retrying(
        retry=retry_if_exception(lambda error: _is_away(error) and not _is_full(error)),
        wait=wait_exponential(multiplier=0.1, max=5),
        stop=stop_after_delay(patience),
    )
    try:
        return attempts(action)
    except RetryError as error:
        last = error.last_attempt.exception()
        assert last is not None
        raise Halt(f"Optuna's storage cannot be reached: {reason_of(last)}") from last
    except (*_AWAY, ConfigError) as error:
        if not _is_full(error):
            raise
        raise Halt(f"no space is left for Optuna's storage: {reason_of(error)}") from error


def _is_away(error: BaseException) -> bool:
    """Whether a storage could not be reached, also where a mistake in the config is raised."""
    return isinstance(error, _AWAY) or isinstance(error.__cause__, _AWAY)


def _is_full(error: BaseException) -> bool:
    return _FULL in reason_of(error)


def unusable(url: str, error: BaseException) -> ConfigError:
    """The error of a config whose storage cannot be used."""
    reason = masked(reason_of(error), url)
    return ConfigError(f"tracking.study={masked(url)} cannot be used: {reason}")


def reason_of(error: BaseException) -> str:
    """The first line of what lies at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
