"""What the record costs, where it lies, and whose state it leaves alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsIndex

import mlflow
import pytest
from mlflow import MlflowClient

from tests.helpers.challengers import answers, challenger_of, classifier_of, config_of
from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_of, reported
from trainable.data.datasets import load_dataset
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.config.points import FirstPoint
from tune.models.lookup import load_model
from tune.models.promotion import settle_champion
from tune.models.replay import read_trial
from tune.strategy.portfolio import open_search, starting_point
from tune.study.search import Search
from tune.study.trial import Decision, Epoch
from tune.tracking.database import make_database
from tune.tracking.record import SearchRecord


def search_at(uri: str) -> Search:
    config = load_config(DIGITS, [f"tracking.uri={uri}", "data.image_size=16"])
    return Search(name="one", config=config, data_fingerprint="f", weights_hash=None)


def database_in(folder: Path, empty: Path) -> str:
    folder.mkdir()
    shutil.copy(empty, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


class Counted(list[Epoch]):
    """Epochs, and how many of them were looked at."""

    seen = 0

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        self.seen += 1 if isinstance(index, SupportsIndex) else len(found)
        return found

    def __iter__(self) -> Iterator[Epoch]:
        self.seen += len(self)
        return super().__iter__()


def test_an_epoch_costs_no_more_after_a_thousand_than_after_ten(
    empty_database: Path, tmp_path: Path
) -> None:
    search = search_at(database_in(tmp_path / "here", empty_database))
    ledger = ledger_of(search.config, f"sqlite:///{tmp_path / 'optuna.db'}")
    record, log = SearchRecord(search), ledger.begin()
    metrics = {name: value for name, value in reported(0.5).items() if isinstance(value, float)}
    log.epochs, log.facts = Counted(), {"device": "cpu"}
    seen = []
    for epochs in (10, 1000):
        log.epochs += [Epoch(metrics, at) for at in range(len(log.epochs), epochs)]
        record.sync(ledger)
        log.epochs.append(Epoch(metrics, epochs))
        log.epochs.seen = 0
        record.sync(ledger)
        seen.append(log.epochs.seen)
    assert seen[0] == seen[1] == 1
    history = record.client.get_metric_history(record.child("trial-000"), "val_acc")
    assert [metric.step for metric in history] == list(range(1, 1002))


@pytest.mark.slow
def test_a_database_is_made_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **others: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    make_database(uri)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    before = (tmp_path / "mlflow.db").read_bytes()
    make_database(uri)
    assert (tmp_path / "mlflow.db").read_bytes() == before
    assert len(MlflowClient(uri).search_experiments()) == 1


@pytest.fixture
def users_run(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[mlflow.ActiveRun]:
    """A run that the user has under way, in a store of their own."""
    with monkeypatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
        patch.chdir(tmp_path)
        mlflow.set_tracking_uri(database_in(tmp_path / "users", empty_database))
        mlflow.set_experiment("theirs")
        with mlflow.start_run() as run:
            yield run
        mlflow.set_tracking_uri(None)


def state_of_mlflow() -> tuple[Any, ...]:
    run = mlflow.active_run()
    variables = {name: value for name, value in os.environ.items() if "MLFLOW" in name}
    return mlflow.get_tracking_uri(), run and run.info.run_id, variables


@pytest.mark.slow
def test_what_the_user_has_set_and_started_in_mlflow_is_left_alone(
    users_run: mlflow.ActiveRun, empty_database: Path, tmp_path: Path
) -> None:
    uri = database_in(tmp_path / "ours", empty_database)
    theirs, before = mlflow.get_tracking_uri(), state_of_mlflow()
    search = search_at(uri)
    ledger = ledger_of(search.config, f"sqlite:///{tmp_path / 'optuna.db'}")
    ledger.begin()
    ledger.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    dataset = load_dataset(search.config.data)

    record = SearchRecord(search)
    record.sync(ledger)
    challenger = challenger_of(classifier_of(dataset.classes), dataset, answers(dataset, 300))
    config = config_of("not-worse", f"tracking.uri={uri}")
    settle_champion(record.client, config, challenger, record.run_id)
    record.close("FINISHED")
    assert load_model("models:/resnet18-digits@champion", uri).version is not None
    assert len(read_trial(record.child("trial-000"), uri).epochs) == 1

    assert state_of_mlflow() == before
    own = MlflowClient(theirs)
    assert {found.name for found in own.search_experiments()} == {"Default", "theirs"}
    (run,) = own.search_runs([users_run.info.experiment_id])
    assert run.info.run_id == users_run.info.run_id
    assert (run.data.params, run.data.metrics) == ({}, {})
    assert own.search_logged_models([users_run.info.experiment_id]) == []
    assert own.search_registered_models() == []
    with pytest.raises(ConfigError, match="no model is registered"):
        load_model(None)


def test_the_run_of_a_trial_that_was_tried_first_says_why(
    empty_database: Path, tmp_path: Path
) -> None:
    search = search_at(database_in(tmp_path / "here", empty_database))
    config, why = search.config, "trial 3 of search zero"
    own = starting_point(config)
    other = {**own, "optim.lr": 2e-3}
    points = (
        FirstPoint(name="config", why="the config's own values", values=own),
        FirstPoint(name="earlier-1", why=why, values=other),
    )
    tracking = config.tracking.model_copy(update={"study": f"sqlite:///{tmp_path / 'optuna.db'}"})
    config = config.model_copy(update={"tracking": tracking})
    search = search.model_copy(update={"points": points, "config": config})
    ledger = open_search(search)
    record = SearchRecord(search)
    for _ in range(3):
        ledger.begin()
    record.sync(ledger)
    tags = [record.client.get_run(record.child(f"trial-00{n}")).data.tags for n in range(3)]
    assert [each.get("tune.first_point") for each in tags] == [
        "config: the config's own values",
        f"earlier-1: {why}",
        None,
    ]
