"""Whether the record can be reached, found out before anything slow is loaded."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tune.errors import ConfigError

REACH_SECONDS: Final = 5.0
"""How long a server may take to answer before it counts as away."""


def tracking_uri(configured: str | None) -> str | None:
    """Where MLflow will keep the record; None is `mlflow.db` here."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or None


def check_tracking(uri: str | None) -> None:
    """Check that the record can be kept at a tracking URI.

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
