"""An MLflow that is slow or fails now and then is waited for, and not for ever if it is away."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from mlflow.exceptions import MlflowException, RestException
from requests import ConnectionError as Unreachable
from requests import HTTPError, Response

from tune.tracking import patience as waiting
from tune.tracking.client import is_full, is_passing, why
from tune.tracking.patience import Patience


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own retries last seconds."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(waiting, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(waiting, "_LONGEST_PAUSE", 0.05)


def test_patience_is_time_without_an_answer() -> None:
    patience, sent = Patience(), 0

    def fail(times: int) -> Callable[[], int]:
        def request() -> int:
            nonlocal sent
            sent += 1
            if sent % times:
                raise Unreachable
            return sent

        return request

    patience.limit(0.3)
    start = time.monotonic()
    while time.monotonic() - start < 1:
        patience.ask(fail(3), is_passing)
    assert not patience.is_exhausted
    with pytest.raises(Unreachable):
        patience.ask(fail(10**9), is_passing)
    assert patience.is_exhausted
    assert 1.2 < time.monotonic() - start < 2


def answered(status: int) -> HTTPError:
    response = Response()
    response.status_code = status
    return HTTPError(f"{status} Server Error", response=response)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (MlflowException("API request failed with exception refused"), True),
        (RestException({}), True),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"}), False),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "disk is full"}), True),
        (MlflowException("(sqlite3.OperationalError) database or disk is full"), False),
        (MlflowException("The following failures occurred while downloading: 404 Client"), False),
        (MlflowException("The following failures occurred while downloading: 503 Server"), True),
        (answered(500), True),
        (answered(404), False),
        (Unreachable(), True),
        (OSError(28, "No space left on device"), False),
        (PermissionError(13, "Permission denied"), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass_is_tried_again_and_nothing_else(error: Exception, passes: bool) -> None:
    assert is_passing(error) is passes


def test_a_full_disk_is_told_as_such() -> None:
    error = MlflowException(
        "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush "
        "block if this flush is occurring prematurely)\n"
        "(sqlite3.OperationalError) database or disk is full"
    )
    assert is_full(error)
    assert why(error) == "no space is left where MLflow keeps its record: make some"
