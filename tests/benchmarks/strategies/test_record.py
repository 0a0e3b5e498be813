"""How curves are recorded and kept."""

from __future__ import annotations

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
    script("pack").pack(folder, tmp_path)
    assert "48 records of commit 0000000" in capsys.readouterr().out
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
    assert {number for _, number, _, _ in jobs} == set(
        sorted(scores, key=lambda number: -scores[number])[: record.BEST]
    )
    assert list(record._missing(iter(jobs), folder)) == jobs  # a first run is no second
    monkeypatch.setattr(record, "curve", lambda config, trial: ([{"seed": trial.train.seed}], None))
    seeds = [record._record((job, folder, np.inf))["seed"] for job in jobs[:2]]
    assert len({*seeds, *(r["seed"] for r in full)}) == len(full) + 2
