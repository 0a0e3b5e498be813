"""Where the record is: whether it can be reached, found out early, and the client for it."""

from __future__ import annotations

import os
from http.client import HTTPException
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from trainable.files.places import is_folder
from tune.base.errors import ConfigError, first_line
from tune.base.passwords import masked
from tune.tracking.credentials import authorization, bare, hand_over, may_differ

if TYPE_CHECKING:
    from mlflow import MlflowClient

    Client: TypeAlias = MlflowClient
    """For those who hand a client on, and do not import MLflow."""

REACH_SECONDS: Final = 5.0
"""How long a server may take to answer before it counts as away."""
_NO_ANSWER: Final = "the server does not answer"
_CURE: Final = "start it, or give another"
_DATABASES: Final = {"postgresql", "mysql", "mssql"}
_OTHERS: Final = {"databricks", "databricks-uc", "uc"}
_ASKS_WHO: Final = "api/2.0/mlflow/experiments/search?max_results=1"


class AwayError(ConfigError):
    """MLflow's server does not answer now: it may again."""


def tracking_uri(configured: str | None) -> str | None:
    """Where MLflow will keep the record; None is `mlflow.db` here."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or None


def full_uri(configured: str | None) -> str:
    """The same without a password, and with the place where MLflow itself looks spelled out."""
    return bare(_spelled_out(configured))


def open_client(configured: str | None) -> Client:
    """A client for the record at a tracking URI; it makes a database that is not there.

    Whatever works with MLflow is handed one: MLflow's own state (its tracking URI, its experiment,
    its active run) is the user's, and is never set.
    """
    from mlflow import MlflowClient

    return MlflowClient(hand_over(_spelled_out(configured)))


def is_there(configured: str | None) -> bool:
    """Whether there is a record, or a server that may have one."""
    scheme, _, path = full_uri(configured).partition(":///")
    return scheme != "sqlite" or Path(path).is_file()


def is_mlflows_own(client: Client) -> bool:
    """Whether a client looks where MLflow itself does, or where a server looks for both."""
    uri = client.tracking_uri
    return uri == full_uri(None) or urlsplit(uri).scheme in {"http", "https"}


def check_tracking(uri: str | None) -> None:
    """Check that a record can be written at a tracking URI.

    Raises:
        AwayError: Its server does not answer.
        ConfigError: Its server refuses the user, its folder is not there, or MLflow has no such
            store.
    """
    if uri is None:
        return
    reason = _why_unusable(uri)
    if reason is not None:
        kind = AwayError if reason.startswith(_NO_ANSWER) else ConfigError
        raise kind(f"tracking.uri={masked(uri)}: {masked(reason, uri)}")


def why_away(uri: str | None) -> str | None:
    """Why MLflow's server cannot be recorded to now, if it is away and may come back.

    Raises:
        ConfigError: It could not be recorded to then either.
    """
    try:
        check_tracking(uri)
    except AwayError as error:
        return str(error)
    return None


def ask(uri: str, path: str) -> str:
    """What a server answers to a request, as far as it matters here, in a few seconds.

    Raises:
        OSError, HTTPException, ValueError: It does not, or not with success.
    """
    request = Request(f"{bare(uri).rstrip('/')}/{path}", headers=authorization(uri))  # noqa: S310
    with urlopen(request, timeout=REACH_SECONDS) as answer:  # noqa: S310
        return str(answer.read(64).decode(errors="replace"))


def _may_pass(error: BaseException) -> bool:
    """Whether a server's failure may pass. Its connection is closed."""
    if not isinstance(error, HTTPError):
        return False
    error.close()
    return error.code >= 500


def _ask_again(uri: str, path: str) -> None:
    """Ask a server until it answers with success, as long as its failures may pass."""
    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_delay(REACH_SECONDS / 2),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    retrying(ask, uri, path)


def _spelled_out(configured: str | None) -> str:
    from mlflow import get_tracking_uri

    return tracking_uri(configured) or str(get_tracking_uri())


def _why_unusable(uri: str) -> str | None:
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        return f"it is no address: {error}"
    if scheme in {"", "file"}:
        return (
            "MLflow keeps no records in plain files any more; give a server "
            "(http://host:5000) or a database (sqlite:///mlflow.db)"
        )
    if scheme in {"http", "https"}:
        return _why_no_answer(uri)
    if scheme == "sqlite":
        folder = Path(uri.partition(":///")[2]).parent
        return None if is_folder(folder) else f"there is no folder {folder}"
    if scheme.partition("+")[0] in _DATABASES:
        return _why_no_connection(uri)
    others = {*_OTHERS, *(each.name for each in entry_points(group="mlflow.tracking_store"))}
    return None if scheme in others else f"MLflow has no store for {scheme}://"


def _why_no_connection(url: str) -> str | None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    limits = {} if url.startswith("mssql") else {"connect_timeout": int(REACH_SECONDS)}
    try:
        create_engine(url, connect_args=limits).connect().close()
    except DBAPIError as error:
        return f"the database cannot be used: {first_line(error.orig or error)}"
    except (SQLAlchemyError, ImportError, ValueError) as error:
        return f"the database cannot be used: {first_line(error)}"
    return None


def _why_no_answer(uri: str) -> str | None:
    try:
        _ask_again(uri, "health")
        _ask_again(uri, _ASKS_WHO)  # MLflow's own authentication lets everybody ask for its health
    except HTTPError as error:
        # It answers: what it thinks of health is not asked.
        if error.code in {401, 403} and not may_differ():
            return (
                f"the server refuses this user or password ({error.code} {error.reason}); give "
                "http://USER:PASSWORD@HOST, or MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD"
            )
        return _no_answer(f"{error.code} {error.reason}") if error.code >= 500 else None
    except (OSError, HTTPException, ValueError) as error:
        return _no_answer(str(getattr(error, "reason", error)) or type(error).__name__)
    return None


def _no_answer(why: str) -> str:
    return f"{_NO_ANSWER} ({why}); {_CURE}"
