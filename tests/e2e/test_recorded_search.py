"""Searches that version 0.1 recorded go on, replay and are reported today.

In the fixture, `finished` has four trials and a confirmation, and `killed` was killed in the
second of its six trials. What it would have come to is recorded too: to the bit on the kind of
processor that recorded it; on the other kind that the old code was run on its decisions are the
same, and losses to the fourth digit; elsewhere all is within a replay's tolerance.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from tests.helpers.commands import running_module
from tests.helpers.doors import invoke
from tests.helpers.processes import LIMIT
from tests.helpers.searches import FinishedSearch, relocate, trials_in
from trainable.device import resolve_device

FIXTURES = Path(__file__).parents[1] / "fixtures"
EXPECTED: list[dict[str, Any]] = json.loads((FIXTURES / "search-0.1-expected.json").read_text())
FIRST, *OTHERS = json.loads((FIXTURES / "golden_trials.json").read_text())["measured"]
"""The kinds of processors that the old code was run on; it recorded the searches on the first."""


def extract(folder: Path) -> FinishedSearch:
    """The recorded searches, as if they had been run in this folder."""
    with tarfile.open(FIXTURES / "search-0.1.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    relocate(folder, "/tmp/recorded")
    return FinishedSearch(folder, "")


@pytest.fixture(scope="module")
def without_gpu() -> Iterator[None]:
    """A GPU would make other trials of them than the CPU did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, without_gpu: None) -> FinishedSearch:
    return extract(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, without_gpu: None) -> FinishedSearch:
    """The recorded searches after `killed` was resumed and `finished` extended, side by side."""
    search = extract(tmp_path_factory.mktemp("resumed"))
    more = ("--resume", "finished", "--num-samples=5")
    with (
        running_module("tune.search", "--resume", "killed", cwd=search.folder) as killed,
        running_module("tune.search", *more, cwd=search.folder) as finished,
    ):
        for process in (killed, finished):
            output, errors = process.communicate(timeout=LIMIT)
            assert (process.returncode, errors) == (0, ""), output + errors
    return search


def processor() -> str:
    return resolve_device("fp32", num_threads=1, use_gpu=False).identity


def alike(value: Any) -> Any:
    """What is expected of a metric here."""
    if processor() == FIRST:
        return value
    tolerance = 1e-4 if processor() in OTHERS else 0.1
    return pytest.approx(value, rel=tolerance, abs=tolerance)


def runs_of(search: FinishedSearch, name: str, kind: str = "trial") -> list[Run]:
    (parent,) = [run for run in search.runs("search") if run.info.run_name == name]
    of_all = search.runs(kind)
    return [run for run in of_all if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]


def outcome(trial: FrozenTrial) -> dict[str, Any]:
    return {"params": trial.params, "state": trial.state.name, "value": trial.value}


@pytest.mark.slow
def test_a_search_that_the_old_code_was_killed_in_ends_as_the_old_code_would_have_ended_it(
    resumed: FinishedSearch,
) -> None:
    found = trials_in(resumed.folder, "killed")
    assert [trial.number for trial in found] == list(range(len(EXPECTED)))
    expected = [{key: each[key] for key in ("params", "state", "value")} for each in EXPECTED]
    if processor() in {FIRST, *OTHERS}:
        assert [outcome(trial) for trial in found] == expected
    else:  # who is stopped hangs by a hair
        assert [trial.params for trial in found] == [each["params"] for each in expected]
        assert all(trial.state.is_finished() for trial in found)


@pytest.mark.slow
def test_every_epoch_of_it_is_recorded_as_the_old_code_measured_it(
    resumed: FinishedSearch,
) -> None:
    runs, trials = runs_of(resumed, "killed"), trials_in(resumed.folder, "killed")
    for run, trial, expected in zip(runs, trials, EXPECTED, strict=True):
        for name in ("val_acc", "val_loss"):
            history = resumed.client.get_metric_history(run.info.run_id, name)
            values = [metric.value for metric in history]
            both = min(len(values), len(expected[name]))
            assert values[:both] == alike(expected[name][:both])
            assert [metric.step for metric in history] == list(trial.intermediate_values)


@pytest.mark.slow
def test_nothing_of_the_recorded_searches_is_left_running(resumed: FinishedSearch) -> None:
    for name in ("finished", "killed"):
        assert all(trial.state.is_finished() for trial in trials_in(resumed.folder, name))
    kinds = [run for kind in ("search", "trial", "confirm") for run in resumed.runs(kind)]
    assert "RUNNING" not in {run.info.status for run in kinds}
    assert [run.info.run_name for run in resumed.runs("search")].count("killed") == 1


@pytest.mark.slow
def test_a_search_that_the_old_code_finished_is_extended(
    resumed: FinishedSearch, recorded: FinishedSearch
) -> None:
    before, after = (trials_in(each.folder, "finished") for each in (recorded, resumed))
    assert len(before) == 4
    assert after[:4] == before
    assert [trial.number for trial in after] == [0, 1, 2, 3, 4]
    assert after[4].state in {TrialState.COMPLETE, TrialState.PRUNED}
    assert len(runs_of(resumed, "finished")) == 5
    assert len(runs_of(resumed, "finished", "confirm")) >= 2


@pytest.mark.parametrize("number", [1, 3])
def test_a_trial_that_the_old_code_recorded_replays(number: int, recorded: FinishedSearch) -> None:
    run = runs_of(recorded, "finished")[number]
    done = invoke("tune.debug", "--from-run", run.info.run_id, cwd=recorded.folder)
    assert (done.returncode, done.stderr) == (0, "")
    epochs = len(trials_in(recorded.folder, "finished")[number].intermediate_values)
    assert done.stdout.splitlines()[-1] == f"PASS: {epochs} epochs as recorded"


@pytest.mark.slow
def test_a_search_that_the_old_code_finished_is_reported(
    recorded: FinishedSearch, tmp_path: Path
) -> None:
    done = invoke("tune.report", "finished", "--out", str(tmp_path), cwd=recorded.folder)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "report.html").read_text()
    assert "finished" in page
    assert "The finalists" in page
