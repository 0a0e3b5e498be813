"""How curves are recorded and kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.strategies.conftest import Import


def test_configs_are_drawn_as_they_were_recorded_for_each_task(
    script: Import,
) -> None:
    record, rows, curves = script("record"), script("rows"), script("portfolio").CURVES
    configs = {task: record.config_of(task, Path()) for task in ("animals_1200", "vehicles_400")}
    for task, config in configs.items():
        known = {each["number"]: each["params"] for each in rows.read(rows.file_of(curves, task))}
        assert record.proposal(task, max(known), config) == known[max(known)]
    one, other = (record.proposal(task, 0, each) for task, each in configs.items())
    assert one != other


def test_packed_records_are_read_as_the_others(
    folder: Path, tmp_path: Path, script: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    source, on_fold = tmp_path / "source", "folds/digits.jsonl"
    shutil.copytree(folder, source)
    (source / "folds").mkdir()
    line = json.dumps({**script("rows").read(folder / "digits.jsonl")[0], "fold": "1/5"})
    (source / on_fold).write_text(line + "\n")
    script("pack").pack(source, tmp_path)
    told = capsys.readouterr().out
    assert "digits.jsonl: 48 records of commit 0000000" in told
    assert f"{on_fold}: 1 records of commit 0000000" in told
    assert script("rows").read(tmp_path / f"{on_fold}.gz")[0]["fold"] == "1/5"
    packed = script("rows").read(script("rows").file_of(tmp_path, "digits"))
    plain = script("rows").read(script("rows").file_of(folder, "digits"))
    assert [each["epochs"] for each in packed] == [each["epochs"] for each in plain]
    assert "total_seconds" not in packed[0]


def test_the_best_configs_are_recorded_again_under_other_seeds(
    folder: Path, script: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = script("record")
    jobs = list(record._again(["digits"], 2, folder))
    assert len(jobs) == 2 * record.BEST
    full = [r for r in script("rows").read(folder / "digits.jsonl") if r["length"] == 6]
    scores = {r["number"]: max(e["val_acc"] for e in r["epochs"]) for r in full}
    assert {job.number for job in jobs} == set(
        sorted(scores, key=lambda number: -scores[number])[: record.BEST]
    )
    assert list(record._missing(iter(jobs), folder)) == jobs  # a first run is no second
    monkeypatch.setattr(record, "trained", lambda *_, **__: ([], None, {}))
    seeds = [record._record((job, folder, np.inf))["seed"] for job in jobs[:2]]
    assert len({*seeds, *(r["seed"] for r in full)}) == len(full) + 2


def test_few_validation_images_are_made_folds_of_and_all_tasks_are_refitted(
    folder: Path, tmp_path: Path, script: Import
) -> None:
    record, rows = script("record"), script("rows")
    jobs = list(record._on_folds(["digits"], folder))
    names = [*record.fold_names(5), "all", "soup"]
    assert [job.fold for job in jobs] == [name for name in names for _ in range(record.BEST)]
    assert len({*jobs}) == len(jobs)
    assert {job.number for job in jobs} == {j.number for j in record._again(["digits"], 1, folder)}
    many = [{**r, "epochs": [{"val_acc": 1 / 251}]} for r in rows.read(folder / "digits.jsonl")]
    (tmp_path / "digits.jsonl").write_text("".join(json.dumps(each) + "\n" for each in many))
    assert {job.fold for job in record._on_folds(["digits"], tmp_path)} == {"all", "soup"}


@pytest.mark.slow
def test_a_refit_is_tested_at_its_end_alone_and_runs_are_mixed(
    folder: Path, tmp_path: Path, script: Import
) -> None:
    record = script("record")
    (tmp_path / "folds").mkdir()
    jobs = [record.Job("digits", 0, 2, fold=fold) for fold in ("1/5", "all", "soup")]
    fold, refit, soup = (record._record((job, tmp_path, np.inf)) for job in jobs)
    assert "soup_acc" not in fold
    assert [("test_acc" in epoch) for epoch in refit["epochs"]] == [False, True]
    shares = {float(f"{n / 371:.5g}") for n in range(372)}
    assert {refit["soup_acc"], refit["other_acc"], soup["best_acc"], soup["taken_acc"]} <= shares
    assert (soup["mixed"] > 1) or soup["best_acc"] == soup["taken_acc"]
    (tmp_path / "folds" / "digits.jsonl").write_text(json.dumps(fold) + "\n")
    assert list(record._missing(iter(jobs), tmp_path)) == jobs[1:]
