"""The user and password of an MLflow server, which may stand in its address.

MLflow's client takes them by two variables of its own. In the address they would reach each error,
each line that it prints, and not the requests for artifacts.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_USER: Final = "MLFLOW_TRACKING_USERNAME"
_PASSWORD: Final = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105
_TOKEN: Final = "MLFLOW_TRACKING_TOKEN"  # noqa: S105
_OTHERS: Final = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
"""Variables by which MLflow authenticates itself in ways that are not asked for here."""

_theirs: dict[str, str | None] = {}
"""The variables as the user has set them, while those of an address stand there."""


def bare(uri: str) -> str:
    """A server's address without user and password; every other URI as it is.

    Raises:
        ValueError: It is no address.
    """
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"}:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def hand_over(uri: str) -> str:
    """Hand the user and password of an address to MLflow, and give the rest of the address.

    They are for this server alone: at the next one's address the variables are as they were.

    Raises:
        ValueError: It is no address.
    """
    address, parts = bare(uri), urlsplit(uri)
    if parts.scheme in {"http", "https"}:
        take_back()
        for name, given in {_USER: parts.username, _PASSWORD: parts.password}.items():
            if given is not None:
                _theirs[name] = os.environ.get(name)
                os.environ[name] = unquote(given)
    return address


def take_back() -> None:
    """Leave the variables as they were before :func:`hand_over`."""
    for name, value in _theirs.items():
        os.environ.pop(name, None)
        os.environ.update({} if value is None else {name: value})
    _theirs.clear()


def authorization(uri: str) -> dict[str, str]:
    """The header that MLflow's client would send to a server, as far as it is known here.

    Raises:
        ValueError: It is no address.
    """
    parts = urlsplit(uri)
    user = os.environ.get(_USER) if parts.username is None else unquote(parts.username)
    password = os.environ.get(_PASSWORD) if parts.password is None else unquote(parts.password)
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    token = os.environ.get(_TOKEN)
    return {"Authorization": f"Bearer {token}"} if token else {}


def may_differ() -> bool:
    """Whether MLflow's client may know more than :func:`authorization` does."""
    stored = Path.home() / ".mlflow" / "credentials"
    return any(map(os.environ.get, _OTHERS)) or stored.is_file()
