"""A search after a metric that a plugin adds, from the command line to the registered model."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from tests.helpers.commands import DIGITS, SMALL, run_module
from tests.helpers.searches import FinishedSearch

METRIC = "val_kappa"


@pytest.mark.slow
def test_a_search_goes_by_a_metric_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_PLUGINS", "tests.helpers.plugins.kappa")
    words = ("--config", str(DIGITS), "--num-samples=4", "--name=first", *SMALL)
    confirm = ("confirm.top_k=2", "confirm.seeds=1", f"objective.metric={METRIC}")
    done = run_module("tune.search", *words, *confirm, cwd=tmp_path)
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
    (version,) = found.client.search_model_versions("name = 'resnet18-digits'")
    assert float(version.tags["test_acc"]) == parent.data.metrics["test_acc"]
