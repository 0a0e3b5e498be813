"""A search whose trials pause and go on later, also when it is killed in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.helpers.commands import run_module, running_module
from tests.helpers.processes import assert_gone, kill_family, wait_until
from tests.helpers.searches import ALONE, FinishedSearch, epochs_in, histories, trials_in
from trainable.judging.metrics import EPOCH_METRICS

WORDS = (
    *(*ALONE, "confirm.top_k=0", "--num-samples=6", "--name=first"),
    *("scheduler.name=halving", "train.epochs=4"),
)


# All six trials pause after their first epoch; the best two go on to the third, where they pause
# once more, and the better one to the end.


def facts(trials: list[FrozenTrial]) -> list[object]:
    return [(t.params, t.state, t.value, t.intermediate_values) for t in trials]


@pytest.mark.nightly
def test_paused_trials_go_on_from_their_checkpoints_also_after_a_kill(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    done = run_module("tune.search", *WORDS, cwd=whole)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr

    with running_module("tune.search", *WORDS, cwd=killed) as search:
        wait_until(lambda: epochs_in(killed) >= 7, by=search)  # a survivor goes on, others wait
        assert_gone(kill_family(search.pid))
    done = run_module("tune.search", "--resume", "first", cwd=killed)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr

    found = trials_in(killed)
    assert facts(found) == facts(trials_in(whole))
    lengths = sorted(len(trial.intermediate_values) for trial in found)
    assert lengths == [1, 1, 1, 1, 3, 4]
    assert [trial.state for trial in found].count(TrialState.COMPLETE) == 1
    record, unbroken = FinishedSearch(killed, done.stdout), FinishedSearch(whole, "")
    for name in set(EPOCH_METRICS) - {"epoch_seconds"}:
        assert histories(record, name) == histories(unbroken, name)
    assert {run.info.status for run in record.runs("trial")} == {"FINISHED", "KILLED"}
    assert len(record.runs("trial")) == 6
