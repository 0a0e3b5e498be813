"""An MLflow that is slow or fails now and then is waited for, and not for ever if it is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Timer
from types import SimpleNamespace
from typing import cast

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from requests import ConnectionError as Unreachable
from requests import HTTPError, Response

from tests.helpers.challengers import answers, challenger_of, classifier_of, config_of, record
from tests.helpers.commands import DIGITS
from tests.helpers.results import dataset_of
from tests.helpers.servers import Server, faulty
from tests.helpers.studies import ledger_of
from tests.tune.tracking.test_writer import assert_recorded, run_trials, search_at
from tune.config.loading import load_config
from tune.models.promotion import settle_champion
from tune.study.ledger import Ledger
from tune.tracking import patience as waiting
from tune.tracking.client import is_full, is_passing, patient, why
from tune.tracking.patience import GivenUpError, Patience
from tune.tracking.writer import RecordWriter, UnrecordedError

DATASET = dataset_of([str(number) for number in range(10)], images=4)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own retries last seconds."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(waiting, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(waiting, "_LONGEST_PAUSE", 0.05)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    config = load_config(DIGITS, ["budget.num_samples=4"])
    return ledger_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")


def conclude(uri: str, server: Server, ledger: Ledger, patience: str) -> None:
    """Record four trials and register a model through `uri`, and look at what is there."""
    search = search_at(uri)
    tracking = load_config(DIGITS, [f"tracking.patience={patience}"]).tracking
    tracking = tracking.model_copy(update={"uri": uri})
    config = search.config.model_copy(update={"tracking": tracking})
    search = search.model_copy(update={"config": config})
    writer = RecordWriter(search, ledger)
    run_trials(ledger, writer.changed)
    made = writer.finish()
    test = answers(DATASET, 30)
    record(made.client, made.run_id, DATASET, test)
    challenger = challenger_of(classifier_of(DATASET.classes), DATASET, test)
    standing = settle_champion(made.client, config_of("always"), challenger, made.run_id)
    assert standing.promoted
    assert_recorded(search, ledger, server.uri)

    client = MlflowClient(server.uri)
    assert len(client.search_model_versions("name = 'resnet18-digits'")) == 1
    run = client.get_run(made.run_id)
    models = client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{made.run_id}'"
    )
    assert [model.status.value for model in models] == ["READY"]
    assert len(run.outputs.model_outputs) == 1


@pytest.mark.nightly
def test_a_server_of_whose_answers_three_in_ten_are_500_is_recorded_to(
    fresh: Server, ledger: Ledger
) -> None:
    draw = Random(0)

    def failing(number: int) -> str | None:
        return draw.choice(["request", "answer"]) if draw.random() < 0.3 else None

    with faulty(fresh, failing) as uri:
        conclude(uri, fresh, ledger, "10s")


@pytest.mark.nightly
def test_a_server_that_takes_longer_than_the_patience_in_all_is_recorded_to(
    fresh: Server, ledger: Ledger
) -> None:
    """Of an answer each 0.05 s there are some hundred, and the patience is of a second."""
    with faulty(fresh, lambda _: None, delay=0.05) as uri:
        start = time.monotonic()
        conclude(uri, fresh, ledger, "1s")
        assert time.monotonic() - start > 2


@pytest.mark.nightly
def test_a_server_that_always_fails_is_given_up(fresh: Server, ledger: Ledger) -> None:
    with faulty(fresh, lambda _: "request") as uri:
        writer = RecordWriter(search_at(uri), ledger)
        run_trials(ledger, writer.changed)
        start = time.monotonic()
        with pytest.raises(UnrecordedError, match=r"4 of 4 trials, nor the model: .*500"):
            writer.finish(1)
        assert time.monotonic() - start < 4


def test_who_is_given_up_on_sends_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    patience, sent = Patience(), list[str]()

    def fail() -> None:
        sent.append("fail")
        raise Unreachable

    monkeypatch.setattr(waiting, "_FIRST_PAUSE", 0.2)
    monkeypatch.setattr(waiting, "_LONGEST_PAUSE", 0.2)
    late = Timer(0.1, patience.give_up)
    late.start()
    with pytest.raises(GivenUpError):  # in the pause before the second time
        patience.ask(fail, is_passing)
    assert sent == ["fail"]
    client = patient(cast("MlflowClient", SimpleNamespace(create_run=fail)), patience)
    with pytest.raises(GivenUpError):
        client.create_run("1")
    assert sent == ["fail"]


@pytest.mark.slow
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
