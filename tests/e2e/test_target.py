"""A search that ends once it has found enough, with Ray, MLflow and a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS, SMALL, run_module
from tests.helpers.doors import invoke
from tests.helpers.searches import FinishedSearch, trials_in


@pytest.mark.nightly
def test_it_ends_early_and_goes_on_with_a_harder_target(tmp_path: Path) -> None:
    words = (*SMALL, "optim.lr=3e-3", "--num-samples=9", "--target=0.2", "--name=first")
    done = run_module("tune.search", "--config", str(DIGITS), *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    before = trials_in(tmp_path)
    assert f"target   val_acc 20.00% reached by {len(before)} of 9 trials" in done.stdout
    assert 1 <= len(before) < 9
    states = [trial.state for trial in before]
    assert set(states) <= {TrialState.COMPLETE, TrialState.PRUNED}
    complete = [trial.value for trial in before if trial.state is TrialState.COMPLETE]
    assert max(value for value in complete if value is not None) >= 0.2
    assert len(FinishedSearch(tmp_path, done.stdout).runs("trial")) == len(before)

    again = invoke("tune.search", "--resume", "first", cwd=tmp_path)
    assert again.stdout == "search first has reached its target of 0.2; for more: --target\n"
    easier = invoke("tune.search", "--resume", "first", "--target=0.1", cwd=tmp_path)
    assert easier.returncode == 2
    assert "the search has reached its target of 0.2; give more" in easier.stderr

    more = run_module("tune.search", "--resume", "first", "--target=0.999", cwd=tmp_path)
    assert (more.returncode, more.stderr) == (0, ""), more.stdout
    after = trials_in(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == 9
    assert "is finished, with 9 trials" in (
        invoke("tune.search", "--resume", "first", cwd=tmp_path).stdout
    )
