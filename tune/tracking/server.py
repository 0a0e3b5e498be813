"""Where the record is: whether it can be reached, found out early, and the client for it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from tune.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    Client: TypeAlias = MlflowClient
    """For those who hand a client on, and do not import MLflow."""

REACH_SECONDS: Final = 5.0
"""How long a server may take to answer before it counts as away."""


def tracking_uri(configured: str | None) -> str | None:
    """Where MLflow will keep the record; None is `mlflow.db` here."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or None


def full_uri(configured: str | None) -> str:
    """The same, with the place where MLflow itself looks spelled out."""
    from mlflow import get_tracking_uri

    return tracking_uri(configured) or str(get_tracking_uri())


def open_client(configured: str | None) -> Client:
    """A client for the record at a tracking URI; it makes a database that is not there.

    Whatever works with MLflow is handed one: MLflow's own state (its tracking URI, its experiment,
    its active run) is the user's, and is never set.
    """
    from mlflow import MlflowClient

    return MlflowClient(full_uri(configured))


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
        ConfigError: Its server does not answer, its folder is not there, or MLflow has no such
            store.
    """
    if uri is None:
        return
    parts = urlsplit(uri)
    if parts.scheme in {"", "file"}:
        raise ConfigError(
            f"tracking.uri={uri}: MLflow keeps no records in plain files any more; give a server "
            "(http://host:5000) or a database (sqlite:///mlflow.db)"
        )
    if parts.scheme in {"http", "https"}:
        reason = _why_no_answer(uri)
        if reason is not None:
            raise ConfigError(
                f"tracking.uri={uri}: the server does not answer ({reason}); start it, or give "
                "another"
            )
    if parts.scheme == "sqlite":
        folder = Path(uri.partition(":///")[2]).parent
        if not folder.is_dir():
            raise ConfigError(f"tracking.uri={uri}: there is no folder {folder}")


def _why_no_answer(uri: str) -> str | None:
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=REACH_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        # It answers: what it thinks of health is not asked.
        return f"{error.code} {error.reason}" if error.code >= 500 else None
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    return None
