"""The record is made of the ledger, whatever becomes of MLflow in between."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS, REPOSITORY
from tests.helpers.examples import first_third
from tests.helpers.processes import running, wait_until
from tests.helpers.searches import runs
from tests.helpers.servers import Server, faulty
from tests.helpers.studies import ledger_of, reported
from trainable.judging.metrics import EPOCH_METRICS as METRICS
from tune.base.errors import ConfigError
from tune.checks.databases import check_mlflow
from tune.config.loading import load_config
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.trial import Decision
from tune.tracking import writer as recording
from tune.tracking.record import SearchRecord
from tune.tracking.server import check_tracking, open_client
from tune.tracking.writer import RecordWriter, UnrecordedError


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own retries would hide ours."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def search_at(uri: str) -> Search:
    config = load_config(DIGITS, [f"tracking.uri={uri}", "budget.num_samples=4"])
    return Search(name="one", config=config, data_fingerprint="f", weights_hash=None)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    config = load_config(DIGITS, ["budget.num_samples=4"])
    return ledger_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")


def run_trials(ledger: Ledger, changed: Callable[[Any], None] = lambda log: None) -> None:
    """A complete, a pruned, a failed and a running trial."""
    ends = {0: TrialState.COMPLETE, 1: TrialState.PRUNED, 2: TrialState.FAIL}
    for number in range(4):
        changed(ledger.begin())
        for epoch in range(1, 4):
            ledger.add_epoch(number, epoch, reported(0.1 * epoch), Decision.GO_ON)
            changed(ledger.trials[number])
        if number in ends:
            error = "DivergedError: no" if ends[number] is TrialState.FAIL else None
            ledger.end(number, ends[number], error)
            changed(ledger.trials[number])


def assert_recorded(search: Search, ledger: Ledger, uri: str, parent: str = "RUNNING") -> None:
    """One parent and one child a trial, each as the ledger has it."""
    client = MlflowClient(uri)
    children = runs(client, "trial")
    (found,) = runs(client, "search")
    assert found.info.status == parent
    assert found.data.params["space.optim.lr"]
    assert [int(run.data.tags["tune.number"]) for run in children] == sorted(ledger.trials)
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED", "RUNNING": "RUNNING"}
    for run, log in zip(children, ledger.trials.values(), strict=True):
        assert run.data.tags["mlflow.parentRunId"] == found.info.run_id
        assert run.data.params["optim.lr"] == str(log.params["optim.lr"])
        assert run.info.status == status[log.state.name]
        assert run.data.tags.get("tune.error") == log.error
        if log.state.is_finished():
            assert run.data.tags["tune.state"] == log.state.name
            assert run.info.end_time == log.ended
        for name in METRICS:
            history = client.get_metric_history(run.info.run_id, name)
            assert [(m.step, m.value, m.timestamp) for m in history] == [
                (number, epoch.metrics[name], epoch.at)
                for number, epoch in enumerate(log.epochs, 1)
            ]


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_the_record_is_what_the_ledger_says(database: str, ledger: Ledger) -> None:
    search = search_at(database)
    writer = RecordWriter(search, ledger)
    run_trials(ledger, writer.changed)
    writer.finish()
    assert_recorded(search, ledger, database)


def test_files_of_the_start_are_recorded_once_even_if_mlflow_is_away_at_first(
    database: str, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_FIRST_PAUSE", 0.01)
    (tmp_path / "data.html").write_text("images")
    tried, real = [], MlflowClient.log_artifact

    def files() -> list[Path]:
        return [tmp_path / "data.html"]

    def log(*given: Any) -> None:
        tried.extend(each for each in given if str(each).endswith("data.html"))
        if len(tried) == 1:
            raise MlflowException("away")
        real(*given)

    monkeypatch.setattr(MlflowClient, "log_artifact", log)
    search = search_at(database)
    writer = RecordWriter(search, ledger, at_start=files)
    run_trials(ledger, writer.changed)
    writer.finish()
    assert len(tried) == 2
    client = MlflowClient(database)
    (run,) = runs(client, "search")
    assert "data.html" in {each.path for each in client.list_artifacts(run.info.run_id)}
    assert_recorded(search, ledger, database)


def test_interrupted_runs_are_closed_and_go_on_later(database: str, ledger: Ledger) -> None:
    search = search_at(database)
    writer = RecordWriter(search, ledger)
    run_trials(ledger, writer.changed)
    writer.finish().close("KILLED")
    client = MlflowClient(database)
    (parent,), last = runs(client, "search"), runs(client, "trial")[3]
    assert [parent.info.status, last.info.status] == ["KILLED", "KILLED"]
    assert last.data.tags["tune.state"] == "INTERRUPTED"

    again = RecordWriter(search, ledger)
    again.changed(ledger.trials[3])
    again.finish()
    assert_recorded(search, ledger, database)
    ledger.add_epoch(3, 4, reported(0.9), Decision.GO_ON)
    ledger.end(3, TrialState.COMPLETE)
    RecordWriter(search, ledger).finish().close("FINISHED")
    assert_recorded(search, ledger, database, parent="FINISHED")


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("call", first_third([4, 0, 7, 20, 1, 2]))
def test_a_call_that_fails_is_made_good(
    database: str, ledger: Ledger, call: int, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was carried out or not, nothing is there twice and nothing is missing."""
    monkeypatch.setattr(recording, "_FIRST_PAUSE", 0.01)
    count = [0]
    for name in ("create_run", "log_batch", "set_tag", "set_terminated", "update_run"):
        real = getattr(MlflowClient, name)

        def called(*args: Any, real: Callable[..., Any] = real, **kwargs: Any) -> Any:
            count[0] += 1
            fails = count[0] == call + 1
            if fails and lost == "request":
                raise MlflowException("away")
            result = real(*args, **kwargs)
            if fails:
                raise MlflowException("away")
            return result

        monkeypatch.setattr(MlflowClient, name, called)
    search = search_at(database)
    run_trials(ledger)
    RecordWriter(search, ledger).finish()
    assert count[0] > call + 1
    assert_recorded(search, ledger, database)


@pytest.mark.nightly
def test_a_database_that_was_half_made_by_a_killed_process_is_never_there(
    tmp_path: Path, ledger: Ledger
) -> None:
    """MLflow makes its database in many steps, and cannot go on with half of one."""
    script = (
        "from tests.tune.tracking.test_writer import search_at\n"
        "from tune.tracking.record import SearchRecord\n"
        f"SearchRecord(search_at('sqlite:///{tmp_path / 'mlflow.db'}'))"
    )
    for delay in (0.0, 0.4):
        with running([sys.executable, "-c", script], cwd=REPOSITORY) as one:
            wait_until(lambda one=one: any(tmp_path.glob(f"mlflow.db.{one.pid}-*")))
            time.sleep(delay)
            one.kill()
        assert not (tmp_path / "mlflow.db").exists(), "made sooner than it could be killed"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    search = search_at(uri)
    RecordWriter(search, ledger).finish()
    assert MlflowClient(uri).search_experiments()
    assert not list(tmp_path.glob("mlflow.db.*"))


@pytest.mark.nightly
def test_a_server_that_goes_away_finds_the_record_complete_when_it_is_back(
    fresh: Server, ledger: Ledger
) -> None:
    search = search_at(fresh.uri)
    writer = RecordWriter(search, ledger)
    client, events = MlflowClient(fresh.uri), list[int]()

    def is_written() -> bool:
        begun = client.get_experiment_by_name("digits") is not None
        return begun and len(runs(client, "trial")) == 1

    def changed(log: Any) -> None:
        writer.changed(log)
        events.append(log.number)
        if len(events) == 3:
            wait_until(is_written)
            fresh.stop()

    run_trials(ledger, changed)
    time.sleep(2)
    fresh.start()
    writer.finish()
    assert_recorded(search, ledger, fresh.uri)


@pytest.mark.nightly
def test_a_server_that_stays_away_is_told_and_made_good_later(
    fresh: Server, ledger: Ledger
) -> None:
    search = search_at(fresh.uri)
    fresh.stop()
    writer = RecordWriter(search, ledger)
    run_trials(ledger, writer.changed)
    reason = r"not recorded all of 4 of 4 trials, nor the model: .* failed with exception"
    with pytest.raises(UnrecordedError, match=reason):
        writer.finish(within=3)
    fresh.start()
    RecordWriter(search, ledger).finish()
    assert_recorded(search, ledger, fresh.uri)


@pytest.mark.nightly
def test_answers_of_500_in_between_leave_no_gap_and_nothing_twice(
    fresh: Server, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(recording, "_LONGEST_PAUSE", 0.05)
    kinds = {0: "request", 5: "answer"}
    with faulty(fresh, lambda number: kinds.get(number % 11) if number < 150 else None) as uri:
        search = search_at(uri)
        writer = RecordWriter(search, ledger)
        run_trials(ledger, writer.changed)
        writer.finish()
        assert_recorded(search, ledger, fresh.uri)


@pytest.mark.slow
def test_a_server_is_recorded_to_by_the_user_and_password_in_its_address(
    fresh: Server, ledger: Ledger, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some.txt").write_text("text")
    with faulty(fresh, lambda _: None, login="me@home:s3/c:ret") as uri:
        for wrong in (uri, uri.replace("://", "://me%40home:other@")):
            with pytest.raises(ConfigError, match="refuses this user or password") as caught:
                check_tracking(wrong)
            assert "other" not in str(caught.value)
            assert check_mlflow(wrong).state == "fail"
            with pytest.raises(MlflowException):
                open_client(wrong).search_experiments()
        address = uri.replace("://", "://me%40home:s3%2Fc%3Aret@")
        check_tracking(address)
        assert check_mlflow(address).message.endswith(f"answers, MLflow {mlflow.__version__}")
        search = search_at(address)
        writer = RecordWriter(search, ledger)
        run_trials(ledger, writer.changed)
        record = writer.finish()
        assert record.client.tracking_uri == uri
        record.client.log_artifact(record.run_id, str(tmp_path / "some.txt"))
        assert record.client.download_artifacts(record.run_id, "some.txt", str(tmp_path))
    assert_recorded(search, ledger, fresh.uri)
    assert "s3/c" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_server_that_is_away_at_the_start_is_told_within_ten_seconds(fresh: Server) -> None:
    check_tracking(fresh.uri)
    with faulty(fresh, lambda _: "request") as uri, pytest.raises(ConfigError, match="500"):
        check_tracking(uri)
    with socket.socket() as silent:  # takes the connection, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(ConfigError, match="does not answer"):
            check_tracking(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "uri",
    ["mlruns", "file:///tmp/mlruns", "sqlite:////nowhere/mlflow.db", "http://[::1", "foo://x"],
)
def test_a_store_that_cannot_be_is_told_at_the_start(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"tracking\.uri="):
        check_tracking(uri)


def test_passwords_in_urls_are_not_recorded(database: str) -> None:
    search = search_at(database)
    tracking = search.config.tracking.model_copy(update={"study": "postgresql://me:secret@host/db"})
    config = search.config.model_copy(update={"tracking": tracking})
    record = SearchRecord(search.model_copy(update={"config": config}))
    run = record.client.get_run(record.run_id)
    assert run.data.params["tracking.study"] == "postgresql://me:***@host/db"
    path = Path(run.info.artifact_uri.removeprefix("file://")) / "config.yaml"
    assert "secret" not in path.read_text()


def test_an_error_that_nobody_expects_leaves_the_record_unfinished(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], SearchRecord.sync

    def sync(self: SearchRecord, of: Ledger) -> None:
        calls.append(of)
        if len(calls) > 1:
            raise ValueError("no such thing")
        real(self, of)

    monkeypatch.setattr(SearchRecord, "sync", sync)
    writer = RecordWriter(search_at(f"sqlite:///{tmp_path / 'mlflow.db'}"), ledger)
    writer.changed(ledger.begin())
    wait_until(lambda: bool(calls))
    writer.changed(ledger.trials[0])
    with pytest.raises(UnrecordedError, match="ValueError: no such thing"):
        writer.finish()
