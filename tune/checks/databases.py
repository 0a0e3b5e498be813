"""Whether the databases of MLflow and Optuna can be read and written.

Nothing is created or changed here: MLflow and Optuna, when they merely open a store, create one
that does not exist and upgrade an old schema. So databases are opened without them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from tune.base.errors import ConfigError
from tune.base.finding import Finding
from tune.base.passwords import masked
from tune.tracking.server import REACH_SECONDS, ask, check_tracking

_DEFAULT: Final = "sqlite:///mlflow.db"
"""MLflow's store where nothing else is set."""
_LOCK_SECONDS: Final = 2
"""How long to wait for a database that another process has locked."""
_CHECKED_BYTES: Final = 500 * 10**6
"""The size above which a database is not read in full: that takes seconds."""


@dataclass(frozen=True)
class _Library:
    """The library that a database belongs to.

    Attributes:
        name: The name of its package.
        scripts: The folder of its Alembic migrations, in the package.
        upgrade: The command that upgrades a database, with its URL as `{url}`.
    """

    name: str
    scripts: str
    upgrade: str


_MLFLOW: Final = _Library("mlflow", "store/db_migrations", "mlflow db upgrade {url}")
_OPTUNA: Final = _Library(
    "optuna", "storages/_rdb/alembic", "optuna storage upgrade --storage {url}"
)


def check_mlflow(uri: str | None) -> Finding:
    """MLflow's store, local or a server.

    Args:
        uri: The store's tracking URI; None is `mlflow.db` here.
    """
    if uri is None:
        old = sorted(path for path in Path("mlruns").glob("*/meta.yaml") if _is_experiment(path))
        if old:
            return _file_store(old[0])
        return _check_database(_MLFLOW, _DEFAULT)
    try:
        check_tracking(uri)
    except ConfigError as error:
        return Finding("mlflow", "fail", str(error), "MLFLOW_TRACKING_URI or tracking.uri names it")
    if uri.startswith(("http://", "https://")):
        return _check_server(uri)
    return _check_database(_MLFLOW, uri)


def exists(uri: str | None) -> bool:
    """Whether MLflow can open a store without creating it."""
    if uri is not None and not uri.startswith("sqlite:"):
        return True
    path = Path(make_url(uri or _DEFAULT).database or "")
    return path.is_file() and path.stat().st_size > 0


def check_optuna(url: str) -> Finding:
    """Optuna's storage of a study, by its URL."""
    return _check_database(_OPTUNA, url)


def _is_experiment(path: Path) -> bool:
    """Whether MLflow takes this `meta.yaml` for an experiment's, and its folder for a store."""
    return path.parent.name.isdigit()


def _file_store(path: Path) -> Finding:
    """A store in plain files, which MLflow prefers to `mlflow.db`, and then refuses."""
    message = f"{path} is of an old store in plain files, which MLflow {version('mlflow')} refuses"
    fix = (
        "mlflow migrate-filestore --source . --target sqlite:///mlflow.db, then "
        "export MLFLOW_TRACKING_URI=sqlite:///mlflow.db, or delete mlruns/*/meta.yaml"
    )
    return Finding("mlflow", "fail", message, fix)


def _check_server(uri: str) -> Finding:
    """A server that answers, and whether its version is the installed one."""
    here, server = version("mlflow"), masked(uri)
    try:
        there = ask(uri, "version")
    except (OSError, HTTPException, ValueError) as error:
        return Finding("mlflow", "ok", f"{server} answers; its version is unknown ({error})")
    if there.split(".")[:2] != here.split(".")[:2]:
        message = f"{server} is MLflow {there}, and {here} is installed"
        return Finding("mlflow", "warn", message, "install the server's version, or upgrade it")
    return Finding("mlflow", "ok", f"{server} answers, MLflow {there}")


def _check_database(library: _Library, url: str) -> Finding:
    def found(message: str, fix: str) -> Finding:
        return Finding(library.name, "fail", f"{masked(url)} {message}", fix)

    try:
        engine, path = _engine(url)
    except (ArgumentError, ImportError) as error:  # no URL, no such dialect, or no driver
        return found(
            f"cannot be used: {masked(error, url)}", "correct the URL, or install the driver"
        )
    if path is not None and not path.exists():
        message = f"{masked(url)} is not there yet: the first search makes it"
        return Finding(library.name, "ok", message)
    try:
        with engine.connect() as connection:
            if path is not None:
                damage = _damage(connection, path)
                if damage is not None:
                    return found(f"is damaged: {damage}", _repair(path))
            heads = MigrationContext.configure(connection).get_current_heads()
            is_empty = not inspect(connection).get_table_names()
    except DBAPIError as error:
        return _unusable(library, url, path, str(error.orig))
    finally:
        engine.dispose()
    if is_empty:
        return Finding(library.name, "ok", f"{masked(url)} is empty: the first search fills it")
    return _check_schema(library, url, heads)


def _engine(url: str) -> tuple[Engine, Path | None]:
    """An engine that connects to a database but never creates it; and its file, if SQLite's."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, connect_args={"connect_timeout": int(REACH_SECONDS)}), None
    path = Path(parsed.database or "").resolve()

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_LOCK_SECONDS)

    return create_engine("sqlite://", creator=connect), path


def _damage(connection: Connection, path: Path) -> str | None:
    """What is wrong with an SQLite database that can be written, or None."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails where it cannot be; writes nothing
    connection.exec_driver_sql("ROLLBACK")
    if path.stat().st_size > _CHECKED_BYTES:
        return None
    answer = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    return None if answer == "ok" else answer.replace("\n", " ")


def _unusable(library: _Library, url: str, path: Path | None, reason: str) -> Finding:
    reason = masked(reason.strip().splitlines()[0], url)
    if "locked" in reason:
        message = f"{masked(url)} has been locked by another process for {_LOCK_SECONDS} s"
        fix = f"find it by: fuser {path}; a search waits two minutes for it"
        return Finding(library.name, "warn", message, fix)
    message = f"{masked(url)} cannot be used: {reason}"
    if path is None:
        return Finding(library.name, "fail", message, "start its server, or correct the URL")
    if "not a database" in reason or "malformed" in reason:
        return Finding(library.name, "fail", f"{masked(url)} is damaged: {reason}", _repair(path))
    return Finding(library.name, "fail", message, f"make {path} a file that you can write")


def _check_schema(library: _Library, url: str, heads: tuple[str, ...]) -> Finding:
    scripts = ScriptDirectory(str(files(library.name) / library.scripts))
    installed = f"{library.name} {version(library.name)}"
    if heads == tuple(scripts.get_heads()):
        return Finding(library.name, "ok", f"{masked(url)} has the schema of {installed}")
    known = {script.revision for script in scripts.walk_revisions()}
    schema = f"{masked(url)} has {'schema ' + '/'.join(heads) if heads else 'no schema version'}"
    if heads and known.issuperset(heads):
        fix = f"keep a copy, then: {library.upgrade.format(url=masked(url))}"
        return Finding(library.name, "fail", f"{schema}, older than {installed}", fix)
    fix = f"install the {library.name} that made it, or move it away"
    return Finding(library.name, "fail", f"{schema}, which {installed} does not know", fix)


def _repair(path: Path) -> str:
    return f"restore a copy; or move it away, and a search makes another: mv {path} {path}.damaged"
