"""MLflow's client, each of whose requests is tried again by itself.

A record of many requests would never be written through a server that fails at three of ten, if it
were started again at each failure; and one that takes seconds to answer is slow, not away. So a
request is sent again, and what is limited is the time in which none succeeds.

MLflow itself sends a request again, too. What makes something, a run or a version, is left out of
both: the first request may have made it, and only its answer been lost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tune.study.storage import reason_of
from tune.tracking.patience import Patience

if TYPE_CHECKING:
    from tune.tracking.server import Client

FAILURES: Final = (MlflowException, SQLAlchemyError, OSError)
"""What is raised where MLflow's server or store is away, full or broken."""

_MAKES: Final = ("create_", "log_outputs")
"""How the names of the client's methods begin that are not to be carried out twice."""
_RETRIES: Final = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_BUSY: Final = {408, 429}
_DOWNLOADING: Final = "occurred while downloading"
_PASSING: Final = re.compile(r"(408|429|5\d\d) |Max retries|timed out|Connection")
_FULL: Final = ("database or disk is full", "no space left on device", "disk quota exceeded")

_Result = TypeVar("_Result")
_one_at_a_time = Lock()


def is_passing(error: BaseException) -> bool:
    """Whether a failure of MLflow's may be over when it is asked again."""
    if is_full(error):
        return False
    if isinstance(error, MlflowException) and _DOWNLOADING in str(error):
        return _PASSING.search(str(error)) is not None  # whatever failed, its code is the same
    if isinstance(error, MlflowException):
        return _may_pass(error.get_http_status_code())
    if isinstance(error, RequestException):
        return error.response is None or _may_pass(error.response.status_code)
    return isinstance(error, OperationalError)


def raise_passing(error: BaseException) -> None:
    """Raise a failure that may be over later: nothing is to be decided on it."""
    if is_passing(error) or is_full(error):
        raise error


def _may_pass(status: int) -> bool:
    return status >= 500 or status in _BUSY


def is_full(error: BaseException) -> bool:
    """Whether there is no space left where MLflow keeps its record."""
    text = str(error).lower()
    return any(words in text for words in _FULL)


def why(error: BaseException) -> str:
    """Why something is not recorded, in a line that says what to do where that is known."""
    if is_full(error):
        return "no space is left where MLflow keeps its record: make some"
    return reason_of(error)


class _PatientClient:
    """MLflow's client, each of whose requests is tried again."""

    def __init__(self, client: Client, patience: Patience) -> None:
        self._client, self.patience = client, patience

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found
        if name.startswith(_MAKES):
            return partial(self._make, found)
        if name.startswith("delete_"):
            return partial(self._delete, found)
        return partial(self._ask, found)

    def _ask(self, method: Callable[..., Any], *words: Any, **named: Any) -> Any:
        return self.patience.ask(lambda: method(*words, **named), is_passing)

    def _make(self, method: Callable[..., Any], *words: Any, **named: Any) -> Any:
        self.patience.check()
        return _send_once(method, *words, **named)

    def _delete(self, method: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """Delete something, which is gone where the answer to the first request was lost."""
        sent = 0

        def delete() -> Any:
            nonlocal sent
            sent += 1
            try:
                return method(*words, **named)
            except MlflowException as error:
                if sent == 1 or error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise

        return self.patience.ask(delete, is_passing)


def patient(client: Client, patience: Patience) -> Client:
    """The same client, with so much patience."""
    return cast("Client", _PatientClient(client, patience))


def ask(client: Client, request: Callable[[], _Result]) -> _Result:
    """Send a request that is none of the client's methods, with the client's patience."""
    if isinstance(client, _PatientClient):
        return client.patience.ask(request, is_passing)
    return request()


def make_once(
    client: Client, make: Callable[[], _Result], find: Callable[[], _Result | None]
) -> _Result:
    """What `make` makes, or `find` finds where a request before has made it without an answer."""
    sent = 0

    def request() -> _Result:
        nonlocal sent
        sent += 1
        found = find() if sent > 1 else None
        return make() if found is None else found

    return ask(client, request)


def _send_once(method: Callable[..., Any], *words: Any, **named: Any) -> Any:
    with _without_retries():
        return method(*words, **named)


@contextmanager
def _without_retries() -> Iterator[None]:
    """Keep MLflow, which reads this variable at each request, from sending one again."""
    with _one_at_a_time:
        before = os.environ.get(_RETRIES)
        os.environ[_RETRIES] = "0"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_RETRIES]
            else:
                os.environ[_RETRIES] = before
