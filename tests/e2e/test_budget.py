"""A time budget that no trial can finish in; `benchmarks/budgets.py` measures how it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS, SMALL, run_module
from tests.helpers.doors import invoke
from tests.helpers.searches import FinishedSearch, trials_in

ENDLESS = (
    *SMALL,
    "resources.max_concurrent=null",
    "train.epochs=10000",
    "scheduler.name=fifo",
)  # ASHA might stop one of them
WORDS = ("--config", str(DIGITS), *ENDLESS, "--num-samples=2", "--name=first")


def registered(folder: Path) -> list[str]:
    client = FinishedSearch(folder, "").client
    found = client.search_model_versions("name = 'resnet18-digits'")
    return sorted(version.tags["tune.cut_short"] for version in found)


@pytest.mark.nightly
@pytest.mark.timeout(600)  # the budgets alone are three minutes
def test_the_best_so_far_is_registered_and_with_more_time_it_goes_on(tmp_path: Path) -> None:
    done = run_module("tune.search", *WORDS, "--time-budget=45s", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "The time budget of 45 s is used up: 2 of 2 trials were cut short" in done.stdout
    assert "Go on with: python -m tune.search --resume first --time-budget MORE" in done.stdout
    before = trials_in(tmp_path)
    assert all(trial.user_attrs["cut_short"] for trial in before)
    (cut,) = registered(tmp_path)
    assert cut.endswith(" of 10000")

    again = invoke("tune.search", "--resume", "first", cwd=tmp_path)
    assert again.stdout == "search first has used up its 45 s; for more: --time-budget\n"
    less = invoke("tune.search", "--resume", "first", "--time-budget=5s", cwd=tmp_path)
    assert less.returncode == 2
    assert "it is counted over all runs of a search" in less.stderr

    elapsed = float((tmp_path / "mlruns" / "searches" / "first" / "elapsed.json").read_text())
    budget = f"--time-budget={elapsed + 150:.0f}"
    more = run_module("tune.search", "--resume", "first", budget, cwd=tmp_path)
    assert (more.returncode, more.stderr) == (0, ""), more.stdout + more.stderr
    after = trials_in(tmp_path)
    assert [trial.number for trial in after] == [0, 1]
    assert {trial.state for trial in after} <= {TrialState.PRUNED, TrialState.FAIL}
    for old, new in zip(before, after, strict=True):
        kept = {epoch: new.intermediate_values[epoch] for epoch in old.intermediate_values}
        assert kept == old.intermediate_values
    epochs = [sum(len(trial.intermediate_values) for trial in each) for each in (before, after)]
    assert epochs[1] > epochs[0]
    assert len(registered(tmp_path)) in {1, 2}, "one again if the best epoch is the same"


@pytest.mark.nightly  # beside other work, what is estimated from the trials is too little
@pytest.mark.timeout(300)
def test_what_time_is_kept_for_is_done_when_the_time_ends_the_trials(tmp_path: Path) -> None:
    words = (*SMALL, "train.epochs=6", "confirm.top_k=2", "confirm.seeds=1", "refit.enabled=true")
    command = ("--config", str(DIGITS), *words, "--num-samples=1000", "--name=many")
    done = run_module("tune.search", *command, "--time-budget=60s", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "were not started" in done.stdout, "the time ended the trials"
    assert "skipped" not in done.stdout
    folder = tmp_path / "mlruns" / "searches" / "many"
    assert (folder / "refit-000").is_dir()
    assert {path.name for path in folder.glob("confirm-*")} == {"confirm-000", "confirm-001"}
