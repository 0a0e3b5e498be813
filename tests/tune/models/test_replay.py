"""Recorded trials, run again from MLflow alone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.helpers.doors import invoke
from tests.helpers.searches import FinishedSearch
from tune.models.replay import read_trial, rebuild, replay


@pytest.mark.slow
def test_every_trial_of_a_search_replays_bit_for_bit(finished_search: FinishedSearch) -> None:
    for run in finished_search.runs("trial"):
        trial = read_trial(run.info.run_id, finished_search.uri)
        assert len(trial.epochs) == len(history(finished_search.client, run.info.run_id))
        assert replay(trial, rebuild(trial), lambda *_: None) is None


def test_the_command_says_pass(finished_search: FinishedSearch) -> None:
    run = finished_search.runs("trial")[1]
    done = invoke("tune.debug", "--from-run", run.info.run_id, cwd=finished_search.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    epochs = len(history(finished_search.client, run.info.run_id))
    assert done.stdout.splitlines()[-1] == f"PASS: {epochs} epochs as recorded"


@pytest.fixture
def own_record(finished_search: FinishedSearch, tmp_path: Path) -> MlflowClient:
    """A copy of the search's record, in `tmp_path`."""
    shutil.copy(finished_search.folder / "mlflow.db", tmp_path)
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def changed(finished_search: FinishedSearch, own_record: MlflowClient) -> str:
    """A copy of a trial's run in which the second epoch is another."""
    client = own_record
    run = max(finished_search.runs("trial"), key=lambda run: len(history(client, run.info.run_id)))
    copy = client.create_run(run.info.experiment_id, tags=run.data.tags)
    for name in ("train_loss", "train_acc", "val_loss", "val_acc"):
        for metric in client.get_metric_history(run.info.run_id, name):
            shift = 1e-6 if (name, metric.step) == ("val_loss", 2) else 0.0
            client.log_metric(copy.info.run_id, name, metric.value + shift, step=metric.step)
    client.set_tag(copy.info.run_id, "tune.kind", "copy")
    return str(copy.info.run_id)


def history(client: MlflowClient, run_id: str) -> list[float]:
    return [metric.value for metric in client.get_metric_history(run_id, "val_acc")]


@pytest.mark.slow
def test_the_first_epoch_that_differs_is_named(changed: str, tmp_path: Path) -> None:
    done = invoke("tune.debug", "--from-run", changed, cwd=tmp_path)
    assert done.returncode == 1
    assert "FAIL: epoch 2 is not as recorded" in done.stdout
    assert re.search(r"val_loss: \S+ recorded, \S+ here", done.stdout)
    assert "train_loss:" not in done.stdout


@pytest.mark.slow
def test_what_is_another_here_is_named_and_rounding_is_granted_to_another_processor(
    own_record: MlflowClient, changed: str, tmp_path: Path
) -> None:
    own_record.set_tag(changed, "tune.processor", "abacus, torch 1.0")
    done = invoke("tune.debug", "--from-run", changed, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    own_record.log_metric(changed, "val_acc", 7.0, step=1, timestamp=2**40)
    done = invoke("tune.debug", "--from-run", changed, cwd=tmp_path)
    assert "another processor: abacus, torch 1.0 recorded" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from-run", "nowhere"], "--from-run nowhere"),
        (["--from-run", "parent"], "not the run of a trial"),
        (["--from-run", "x", "optim.lr=1"], "as it was recorded"),
    ],
)
def test_a_run_that_is_no_trial_is_told(
    words: list[str], told: str, finished_search: FinishedSearch, tmp_path: Path
) -> None:
    (parent,) = finished_search.runs("search")
    given = [parent.info.run_id if word == "parent" else word for word in words]
    done = invoke("tune.debug", *given, cwd=finished_search.folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
