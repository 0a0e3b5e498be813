"""What was lost, doubled or left running by a search that was killed and resumed."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from killing.search import NAME, Search
from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from tune.models.lookup import load_model

METRICS = ("train_loss", "train_acc", "val_loss", "val_acc", "epoch_seconds")


@dataclass
class Findings:
    """What was wrong, in words, by kind."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    left_running: list[str] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Take another's over."""
        self.lost += other.lost
        self.doubled += other.doubled
        self.left_running += other.left_running


def leftovers(search: Search) -> Findings:
    """Processes that outlive it by more than a few seconds."""
    deadline = time.monotonic() + 15
    while (left := search.processes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for process in left:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    return Findings(lost=[f"left a process behind: {process.name()}" for process in left])


def ended_trials(folder: Path) -> dict[str, Any]:
    """When each trial ended that has, as a copy of the storage says.

    Optuna would make what is missing in the storage itself, which the search must do when resumed.
    """
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "mlruns"
        copy.mkdir()
        for file in (folder / "mlruns").glob("optuna.db*"):
            shutil.copy(file, copy)
        trials = stored(copy.parent)
    return {n: t.datetime_complete for n, t in trials.items() if t.state.is_finished()}


def stored(folder: Path) -> dict[str, FrozenTrial]:
    """Optuna's trials by the names of their runs, but for those that only wait."""
    path, found = folder / "mlruns" / "optuna.db", dict[str, FrozenTrial]()
    for kind, name in {"trial": NAME, "confirm": f"{NAME}/confirm"}.items():
        if path.exists():
            with suppress(KeyError):
                study = optuna.load_study(study_name=name, storage=f"sqlite:///{path}")
                for trial in study.trials:
                    if trial.state is not TrialState.WAITING:
                        found[f"{kind}-{trial.number:03d}"] = trial
    return found


def look(folder: Path, expected: set[str], ended_before: dict[str, Any]) -> Findings:
    """Whether study, record and registry are as they must be after the end."""
    findings, trials = Findings(), stored(folder)
    _look_at_study(trials, expected, ended_before, findings)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    _look_at_record(client, trials, expected, findings)
    _look_at_registry(client, findings)
    if not findings.lost:
        _look_at_model(folder, findings)
    return findings


def _look_at_study(
    trials: dict[str, FrozenTrial],
    expected: set[str],
    ended_before: dict[str, Any],
    findings: Findings,
) -> None:
    findings.lost += expected - trials.keys()
    findings.doubled += trials.keys() - expected
    for name, trial in trials.items():
        if not trial.state.is_finished():
            findings.left_running.append(name)
        if trial.state is TrialState.FAIL:
            findings.lost.append(f"{name} failed: {trial.user_attrs.get('error')}")
        if ended_before.get(name, trial.datetime_complete) != trial.datetime_complete:
            findings.doubled.append(f"{name} was run again")


def _look_at_record(
    client: MlflowClient, trials: dict[str, FrozenTrial], expected: set[str], findings: Findings
) -> None:
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    names = Counter(run.info.run_name for run in runs)
    findings.lost += [f"run {name}" for name in {NAME, *expected} - names.keys()]
    findings.doubled += [f"run {name}" for name, count in names.items() if count > 1]
    for run in runs:
        if run.info.status == "RUNNING":
            findings.left_running.append(f"run {run.info.run_name}")
        if run.info.run_name in trials:
            values = trials[run.info.run_name].intermediate_values
            _look_at_epochs(client, run, values, findings)


def _look_at_epochs(
    client: MlflowClient, run: Run, values: dict[int, float], findings: Findings
) -> None:
    for name in METRICS:
        history = client.get_metric_history(run.info.run_id, name)
        steps = [metric.step for metric in history]
        what = f"{run.info.run_name}: an epoch of {name}: {steps}"
        if len(set(steps)) < len(steps):
            findings.doubled.append(what)
        if sorted(set(steps)) != list(range(1, len(values) + 1)) or not steps:
            findings.lost.append(what)
        if name == "val_acc" and {m.step: m.value for m in history} != values:
            findings.lost.append(f"{run.info.run_name}: {name} is not what the study has")


def _look_at_registry(client: MlflowClient, findings: Findings) -> None:
    versions = list(client.search_model_versions())
    experiments = [e.experiment_id for e in client.search_experiments()]
    logged = list(client.search_logged_models(experiments))
    for what, there in (("version", versions), ("logged model", logged)):
        if not there:
            findings.lost.append(f"the {what}")
        if len(there) > 1:
            findings.doubled.append(f"the {what}: {len(there)}")
    with suppress(Exception):
        client.get_model_version_by_alias(versions[0].name, "champion")
        return
    findings.lost.append("the champion")


def _look_at_model(folder: Path, findings: Findings) -> None:
    """Whether the champion loads and labels images."""
    try:
        classifier = load_model(None, f"sqlite:///{folder / 'mlflow.db'}").classifier
    except ValueError as error:
        findings.lost.append(f"the model's files: {error}")
        return
    images = load_dataset(DataConfig(image_size=16, limit=300)).test.images
    probabilities = classifier.probabilities(images)
    if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-5):
        findings.lost.append("the model's answers")
