"""The benchmark of scale, the short way, and what it counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import Mock, create_autospec

import pytest

from benchmarks.scaling.sleeping import STEPS, Sleeping, slept
from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.processes import run
from tests.helpers.studies import prepare_storage
from tune.engine import trials
from tune.strategy.portfolio import open_search


def test_a_trial_sleeps_and_reports_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sleeping, "epoch_seconds", 0.02)
    reports = []
    for number in (0, 1):
        spec = {
            "trial": {"optim": {"lr": 0.1}, "train": {"epochs": 2}},
            "folder": str(tmp_path / f"trial-{number:03d}"),
        }
        trial = Sleeping(config=spec)
        reports.append([trial.step() for _ in range(2)])
    assert reports[0] == reports[1]
    assert [report["done"] for report in reports[0]] == [False, True]
    assert 4 * 0.8 * 0.02 <= slept(tmp_path, 0.0, 1e12) <= 1


def test_only_what_was_slept_within_the_time_counts(tmp_path: Path) -> None:
    for name, times in (("trial-000", "8 12 13 18"), ("trial-001", "15"), ("trial-002", "30 40")):
        (tmp_path / name).mkdir()
        (tmp_path / name / STEPS).write_text("\n".join(times.split()))
    # 10 to 12 and 13 to 18, and one that is at it.
    assert slept(tmp_path, 10.0, 20.0) == 2 + 5 + 5


def test_the_trials_of_nodes_are_run_as_the_engine_runs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    from scaling import nodes  # noqa: PLC0415

    study = f"sqlite:///{tmp_path / 'study.db'}"
    prepare_storage(study)
    scale = nodes.Scale(study, "", "random", tmp_path)
    search = scale.search(2, "random")
    run_one = create_autospec(trials.run_trials)
    run_one.side_effect = lambda ledger, *_, **__: ledger.begin()
    monkeypatch.setattr(trials, "run_trials", run_one)
    monkeypatch.setattr(trials, "FineTuneTrainable", Sleeping)
    load = nodes.Load(slots=1, epoch_seconds=0.01, seconds=1.0, trials=2)
    row = nodes._run(search, open_search(search), Mock(), scale, 1, load)
    assert row["trials"] == 1
    assert run_one.call_args.kwargs["search"] == search.identity


@pytest.mark.nightly
def test_sleeping_trials_keep_two_nodes_busy() -> None:
    script = REPOSITORY / "benchmarks" / "scale.py"
    done = run([sys.executable, script, "--quick"], env=user_environment(), limit=290)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [row["trials"] for row in found["sizes"]] == [30]
    assert [(row["nodes"], row["slots"]) for row in found["nodes"]] == [(1, 2), (2, 4)]
    for row in found["nodes"]:
        assert row["trials"] >= row["slots"]
        assert 0.3 < row["utilisation"] <= 1
