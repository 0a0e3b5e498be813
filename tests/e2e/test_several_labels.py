"""A search on a table whose images have any number of labels, to the served model."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tests.helpers.commands import DIGITS, run_module
from tests.helpers.doors import invoke
from tests.helpers.label_sets import SIDES, write_table
from tests.helpers.searches import FinishedSearch

WORDS = (
    "data.source=table",
    "data.labels=several",
    "data.image_size=16",
    "objective.metric=val_map",
    "objective.also=[val_micro_f1]",
    "space.train.class_weights=[none, balanced]",
    "space.optim.lr=[1e-3, 3e-3]",
    "space.model.unfreeze_depth=[0, 1]",
    "space.model.head=[random, probe]",
    "space.augment.policy=[none]",
    "data.mirror=false",
    "train.epochs=3",
    "train.batch_size=16",
    "confirm.top_k=2",
    "confirm.seeds=1",
    "cache.enabled=false",
    "resources.max_concurrent=1",
)


def check_doubts(folder: Path, rows: list[dict[str, str]]) -> None:
    """Check what is said of the labels after the search, and that the table has all of them."""
    sound = invoke("tune.data", "--search=first", "--json", cwd=folder)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    doubts = json.loads(sound.stdout)
    assert all(each["doubted"].keys() <= set(SIDES) for each in doubts["doubtful"])
    with (folder / doubts["table"]).open(newline="") as file:
        listed = {Path(row["path"]).name: row["label"] for row in csv.DictReader(file)}
    assert listed == {Path(row["path"]).name: row["label"] for row in rows}


@pytest.mark.nightly
def test_a_search_learns_any_number_of_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path / "data", 300)
    words = ("--config", str(DIGITS), "--num-samples=3", "--name=first", f"data.root={table}")
    done = run_module("tune.search", *words, *WORDS, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "test mAP" in done.stdout
    assert "alias champion" in done.stdout
    found = FinishedSearch(tmp_path, done.stdout)
    (parent,) = found.runs("search")
    metrics = parent.data.metrics
    assert {"best_val_map", "test_map", "test_micro_f1", "test_acc"} <= metrics.keys()
    assert metrics["test_map"] > 0.6
    assert metrics["temperature"] != 1
    assert 0 <= metrics["test_calibration_error"] < 0.2
    of_table = invoke("tune.evaluate", "--json", str(table), cwd=tmp_path)
    assert of_table.returncode == 0, of_table.stderr
    judged = json.loads(of_table.stdout)  # on what the search has not seen: its test images
    assert judged["mean_average_precision"] == pytest.approx(metrics["test_map"], abs=1e-4)
    assert judged["accuracy"] == pytest.approx(metrics["test_acc"])
    assert judged["calibration_error"] == pytest.approx(metrics["test_calibration_error"], abs=1e-3)
    assert judged["sure"] == pytest.approx(metrics["test_sure"] * judged["images"], abs=0.5)
    assert judged["seen"] == 300 - judged["images"]
    again = run_module("tune.search", *words[:-2], "--name=second", words[-1], *WORDS, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "mAP" in again.stdout.partition("version 2")[2]
    with table.open() as file:
        every = list(csv.DictReader(file))
    rows = every[:20]
    images = [str(table.parent / row["path"]) for row in rows]
    told = invoke("tune.predict", "--json", *images, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    answers = [json.loads(line)["label"] for line in told.stdout.splitlines()]
    assert all(set(filter(None, answer.split("|"))) <= set(SIDES) for answer in answers)
    right = sum(
        set(filter(None, answer.split("|"))) == set(filter(None, row["label"].split("|")))
        for answer, row in zip(answers, rows, strict=True)
    )
    assert right >= 8
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        served = mlflow.pyfunc.load_model("models:/resnet18-digits@champion")
    finally:
        mlflow.set_tracking_uri(None)
    content = base64.b64encode(Path(images[0]).read_bytes()).decode()
    row = served.predict(pd.DataFrame({"image": [content]})).iloc[0]
    assert row["label"] == answers[0]
    check_doubts(tmp_path, every)
    report = invoke("tune.report", "first", cwd=tmp_path)
    assert report.returncode == 0, report.stdout + report.stderr
    out = invoke("tune.export", "--out", "model.pt2", "--format", "pt2", cwd=tmp_path)
    assert out.returncode == 0, out.stdout + out.stderr
