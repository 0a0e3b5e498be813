"""A search after a metric that a plugin adds, from the command line to the registered model."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from tests.helpers.commands import DIGITS, SMALL, run_module
from tests.helpers.curves import scalars
from tests.helpers.searches import FinishedSearch

METRIC = "val_kappa"


@pytest.mark.nightly
def test_a_search_goes_by_a_metric_from_outside_and_tensorboard_has_its_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_PLUGINS", "tests.helpers.plugins.kappa")
    words = ("--config", str(DIGITS), "--num-samples=2", "--name=first", *SMALL)
    confirm = ("confirm.top_k=1", "confirm.seeds=1", f"objective.metric={METRIC}")
    done = run_module("tune.search", *words, *confirm, "tracking.also=[tensorboard]", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "validation kappa" in done.stdout
    found = FinishedSearch(tmp_path, done.stdout)
    (parent,) = found.runs("search")
    study = optuna.load_study(study_name="first", storage=found.study_url)
    candidate = parent.data.tags["tune.candidate"]
    assert parent.data.metrics[f"best_{METRIC}"] == parent.data.metrics[f"{candidate}_{METRIC}"]
    assert {f"confirmed_{METRIC}", "test_kappa", "test_acc"} <= parent.data.metrics.keys()
    for run in found.runs("trial"):
        history = found.client.get_metric_history(run.info.run_id, METRIC)
        trial = study.trials[int(run.data.tags["tune.number"])]
        assert [m.value for m in history] == list(trial.intermediate_values.values())
        board = tmp_path / "mlruns/searches/first/tensorboard" / f"trial-{trial.number:03d}"
        assert scalars(board)[f"ray/tune/{METRIC}"] == trial.intermediate_values
    (version,) = found.client.search_model_versions("name = 'resnet18-digits'")
    assert float(version.tags["test_acc"]) == parent.data.metrics["test_acc"]


@pytest.mark.nightly
def test_a_search_goes_by_costs_and_weighs_classes(tmp_path: Path) -> None:
    words = ("--config", str(DIGITS), "--num-samples=3", "--name=first", *SMALL)
    costs = ("objective.metric=val_cost", "objective.costs.3.8=20", "objective.costs.8.3=20")
    given = (
        *("space.train.class_weights=[none, balanced, effective]", "objective.also=val_macro_f1"),
        *("space.train.sampler=[shuffle, balanced]", "space.optim.focal_gamma={low: 0, high: 2}"),
        *("confirm.top_k=1", "confirm.seeds=1"),
    )
    done = run_module("tune.search", *words, *costs, *given, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "\nclasses  0: " in done.stdout
    found = FinishedSearch(tmp_path, done.stdout)
    (parent,) = found.runs("search")
    metrics = parent.data.metrics
    assert {"best_val_cost", "test_cost", "test_macro_f1", "confirmed_val_cost"} <= metrics.keys()
    study = optuna.load_study(study_name="first", storage=found.study_url)
    assert study.direction is optuna.study.StudyDirection.MINIMIZE
    values = [trial.value for trial in study.trials if trial.value is not None]
    for run in found.runs("trial"):
        trial = study.trials[int(run.data.tags["tune.number"])]
        assert run.data.params["train.class_weights"] == trial.params["train.class_weights"]
        history = found.client.get_metric_history(run.info.run_id, "val_cost")
        assert [m.value for m in history] == list(trial.intermediate_values.values())
        assert "val_macro_f1" in run.data.metrics
    assert min(values) == study.best_value
    (version,) = found.client.search_model_versions("name = 'resnet18-digits'")
    assert float(version.tags["test_cost"]) == pytest.approx(metrics["test_cost"])
    page = (tmp_path / "mlruns" / "searches" / "first" / "report.html").read_text()
    assert "Test cost" in page
