from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from PIL import Image

from tests.helpers.commands import DIGITS, SMALL, run_module
from tests.helpers.searches import FinishedSearch, copied
from trainable.config import TrialConfig
from trainable.data.datasets import load_dataset
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from trainable.judging.metrics import EPOCH_METRICS as METRICS
from tune.config.loading import load_config

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def test_the_output_names_the_best_trial_the_model_and_what_to_do_next(
    finished_search: FinishedSearch,
) -> None:
    output = finished_search.output
    for part in (
        "5/5 ended",
        "Registered resnet18-digits version 1, alias champion: the first champion",
        "95 % interval",
        "the luckiest of 5 trials",
        "optim.lr = ",
        "validation accuracy",
        "test accuracy",
        "mlflow ui",
    ):
        assert part in output
    assert "\x1b" not in output  # plain lines where there is no terminal


def test_the_elapsed_time_counts_from_the_start_of_the_command(
    finished_search: FinishedSearch,
) -> None:
    lines = [line for line in finished_search.output.splitlines() if " elapsed, " in line]
    found = (re.search(r"(\d+):(\d\d) elapsed", line) for line in lines)
    seconds = [60 * int(each[1]) + int(each[2]) for each in found if each]
    assert len(seconds) > 5, "the trials, and their confirmation"
    assert seconds == sorted(seconds)
    assert seconds[0] >= 2, "nothing has ended sooner after the start of Python, Ray and PyTorch"


def test_every_trial_is_a_child_run_that_ended(finished_search: FinishedSearch) -> None:
    (parent,) = finished_search.runs("search")
    children = finished_search.runs("trial")
    assert parent.info.status == "FINISHED"
    assert [int(run.data.tags["tune.number"]) for run in children] == list(range(5))
    for run in children:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == STATUS[run.data.tags["tune.state"]]


def test_every_epoch_of_every_trial_is_recorded_once(finished_search: FinishedSearch) -> None:
    client = MlflowClient(finished_search.uri)
    for run in finished_search.runs("trial"):
        histories = {m: client.get_metric_history(run.info.run_id, m) for m in METRICS}
        steps = {name: [metric.step for metric in history] for name, history in histories.items()}
        epochs = steps["val_acc"]
        assert epochs == list(range(1, len(epochs) + 1))
        assert all(found == epochs for found in steps.values())


def test_the_study_and_the_record_agree(finished_search: FinishedSearch) -> None:
    study = optuna.load_study(study_name="first", storage=finished_search.study_url)
    states = [trial.state for trial in study.trials]
    assert [run.data.tags["tune.state"] for run in finished_search.runs("trial")] == [
        state.name for state in states
    ]
    assert set(states) <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert TrialState.PRUNED in states
    for trial, run in zip(study.trials, finished_search.runs("trial"), strict=True):
        assert run.data.params["optim.lr"] == str(trial.params["optim.lr"])


def test_a_recorded_trial_is_what_the_same_config_gives_here(
    finished_search: FinishedSearch,
) -> None:
    """With and without Ray: the same metrics, bit for bit."""
    client = MlflowClient(finished_search.uri)
    run = finished_search.runs("trial")[0]
    config = load_config(DIGITS, SMALL).base
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config
    tuner = FineTuner(config, resolve_device(config.train.precision, num_threads=1))
    recorded = client.get_metric_history(run.info.run_id, "val_acc")
    for number in range(len(recorded)):
        metrics = tuner.train_epoch()
        for name in set(METRICS) - {"epoch_seconds"}:
            assert client.get_metric_history(run.info.run_id, name)[number].value == metrics[name]


def test_the_model_is_named_by_its_runs_and_has_their_score(
    finished_search: FinishedSearch,
) -> None:
    study = optuna.load_study(study_name="first", storage=finished_search.study_url)
    (parent,) = finished_search.runs("search")
    winner = study.trials[int(parent.data.tags["tune.best_trial"])]
    assert winner.state is TrialState.COMPLETE
    client, tags = finished_search.client, parent.data.tags
    runs = [client.get_run(run_id) for run_id in tags["tune.best_run"].split()]
    assert [run.info.run_name for run in runs] == tags["tune.ingredients"].split()
    best = max(
        metric.value
        for run in runs
        for metric in client.get_metric_history(run.info.run_id, "val_acc")
    )
    if len(runs) == 1:
        assert parent.data.metrics["best_val_acc"] == best
    (version,) = client.search_model_versions("name = 'resnet18-digits'")
    for name in ("tune.best_run", "tune.ingredients", "tune.candidate"):
        assert version.tags[name] == tags[name]
    for name in ("best_val_acc", "confirmed_val_acc", "test_acc"):
        assert float(version.tags[name]) == parent.data.metrics[name]


def test_of_checkpoints_the_finalists_and_their_runs_stay(finished_search: FinishedSearch) -> None:
    home = finished_search.folder / "mlruns" / "searches" / "first"
    (parent,) = finished_search.runs("search")
    kept = sorted(str(path.relative_to(home)) for path in home.glob("*/*.pt*"))
    study = optuna.load_study(study_name="first", storage=finished_search.study_url)
    complete = study.get_trials(states=[TrialState.COMPLETE])
    chosen = {int(name[6:9]) for name in kept if name.startswith("trial-")}
    assert int(parent.data.tags["tune.best_trial"]) in chosen
    assert len(chosen) == min(2, len(complete))
    left = min(trial.value for trial in complete if trial.number in chosen)
    assert all(trial.value <= left for trial in complete if trial.number not in chosen)
    runs = [f"confirm-{number:03d}/best.pt" for number in range(2 * len(chosen))]
    assert kept == sorted([*runs, *(f"trial-{number:03d}/best.pt" for number in chosen)])


@pytest.fixture
def champion(finished_search: FinishedSearch) -> mlflow.pyfunc.PyFuncModel:
    mlflow.set_tracking_uri(finished_search.uri)
    yield mlflow.pyfunc.load_model("models:/resnet18-digits@champion")
    mlflow.set_tracking_uri(None)  # not what it was: that has become a path of this folder


def test_the_registered_model_reaches_the_test_accuracy_it_is_tagged_with(
    champion: mlflow.pyfunc.PyFuncModel, finished_search: FinishedSearch
) -> None:
    dataset = load_dataset(load_config(DIGITS, SMALL).data)
    answers = champion.predict(pd.DataFrame({"image": [as_base64(i) for i in dataset.test.images]}))
    truth = [dataset.classes[label] for label in dataset.test.labels]
    accuracy = np.mean(answers["label"] == truth)
    version = MlflowClient(finished_search.uri).get_model_version_by_alias(
        "resnet18-digits", "champion"
    )
    assert accuracy == pytest.approx(float(version.tags["test_acc"]))
    columns = [f"p_{name}" for name in dataset.classes]
    assert np.allclose(answers[columns].sum(axis=1), 1, atol=1e-5)


def as_base64(image: object) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")  # type: ignore[attr-defined]
    return base64.b64encode(buffer.getvalue()).decode()


def test_no_pickle_is_registered(finished_search: FinishedSearch) -> None:
    (folder,) = (finished_search.folder / "mlruns").glob("*/models/*/artifacts")
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert ".safetensors" in suffixes
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".bin"}


def test_the_parent_run_holds_the_config_and_the_test_result(
    finished_search: FinishedSearch,
) -> None:
    (parent,) = finished_search.runs("search")
    folder = Path(parent.info.artifact_uri.removeprefix("file://"))
    summary = json.loads((folder / "test.json").read_text())
    assert summary["accuracy"] == parent.data.metrics["test_acc"]
    assert sum(map(sum, summary["confusion"])) == summary["images"] > 300
    assert (folder / "config.yaml").is_file()


@pytest.mark.nightly
def test_a_second_search_appends_a_parent_run_and_a_version(
    finished_search: FinishedSearch, tmp_path: Path
) -> None:
    # A copy, artifacts and all, so that the other tests find the first search alone.
    folder = copied(finished_search.folder, tmp_path).folder
    small = [*SMALL, "train.epochs=1", "model.unfreeze_depth=0"]
    done = run_module(
        "tune.search", "--config", str(DIGITS), "--num-samples=2", "--name=second", *small,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Registered resnet18-digits version 2" in done.stdout
    again = FinishedSearch(folder, done.stdout)
    assert len(again.runs("search")) == 2
    assert len(again.runs("trial")) == 7


@pytest.mark.nightly
def test_a_search_whose_every_trial_breaks_fails_and_registers_nothing(tmp_path: Path) -> None:
    words = [*SMALL, "optim.name=sgd", "optim.lr=100", "optim.l1=10", "train.precision=fp32"]
    done = run_module(
        "tune.search", "--config", str(DIGITS), "--num-samples=2", *words, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "no trial was completed (DivergedError: epoch " in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    broken = FinishedSearch(tmp_path, done.stdout)
    assert {run.data.tags["tune.state"] for run in broken.runs("trial")} == {"FAIL"}
    assert all("DivergedError" in run.data.tags["tune.error"] for run in broken.runs("trial"))
    assert MlflowClient(broken.uri).search_registered_models() == []
