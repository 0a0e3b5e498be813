"""A trial that the time was up for: it is registered, and then it goes on."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.helpers.conclusions import PLUGIN, Ended, ended_search, run_all
from tests.helpers.plugins import use_plugin
from tests.helpers.searches import runs
from trainable.ray_trainable import FineTuneTrainable, TrialSpec
from tune.engine.watchers import DropUnneeded
from tune.strategy.choice import Choice
from tune.strategy.portfolio import open_search
from tune.study.ledger import Ledger
from tune.study.opening import reopen_cut_short
from tune.study.trial import Decision, TrialLog, TrialState

NAME = "small-digits"


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, empty_database: Path, tmp_path: Path) -> None:
    use_plugin(PLUGIN, monkeypatch)
    monkeypatch.setattr("tune.engine.conclusion.write_report", lambda *_: [empty_database])
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")


def cut(ended: Ended, log: TrialLog, epochs: int) -> None:
    """Run a trial until its search's time is up."""
    ledger: Ledger = ended.searched
    spec = TrialSpec(
        number=log.number,
        trial=ledger.config.trial(log.params).model_dump(mode="json"),
        folder=str(ended.home.trial(log.number)),
        runtime=asdict(ledger.config.runtime()),
    )
    trainable = FineTuneTrainable(config=dict(spec))
    for epoch in range(1, epochs + 1):
        ledger.add_epoch(log.number, epoch, trainable.step(), Decision.GO_ON)
    ledger.end(log.number, TrialState.PRUNED, cut_short=True)
    DropUnneeded(ended.home, "trial", 1, Choice(ended.search.config)).changed(log)


@pytest.mark.slow
def test_the_best_so_far_is_registered_and_with_more_time_its_trial_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("budget.time=60s", "budget.num_samples=1", "confirm.top_k=0")
    with monkeypatch.context() as patch:  # nothing is run yet
        patch.setattr("tests.helpers.conclusions.run_all", lambda *_: None)
        ended = ended_search(tmp_path, *words)
    cut(ended, ended.searched.begin(), epochs=2)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    first = ended.conclude()
    assert (first.unfinished, first.model.runs) == (None, ("trial-000",))
    (child,) = runs(client, "trial")
    assert (child.info.status, child.data.tags["tune.state"]) == ("KILLED", "PRUNED")
    assert child.data.tags["tune.cut_short"] == "yes"
    version = client.get_model_version(NAME, "1")
    assert version.tags["tune.cut_short"] == f"epoch {first.model.epoch} of 3"
    again = ended.conclude()
    assert again.standing.version == 1, "what is as it was is not registered twice"

    reopen_cut_short(ended.search, "one")
    ended.searched = open_search(ended.search)
    run_all(ended.searched, ended.home)
    (log,) = ended.searched.trials.values()
    assert (log.state, len(log.epochs)) == (TrialState.COMPLETE, 3)
    second = ended.conclude()
    (child,) = runs(client, "trial")
    assert (child.info.status, child.data.tags["tune.state"]) == ("FINISHED", "COMPLETE")
    assert "tune.cut_short" not in child.data.tags
    steps = [metric.step for metric in client.get_metric_history(child.info.run_id, "val_acc")]
    assert steps == [1, 2, 3]
    assert second.standing.version == 2
    assert client.get_model_version(NAME, "2").tags["tune.cut_short"] == "no"
