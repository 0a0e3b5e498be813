from __future__ import annotations

from pathlib import Path

import pytest

from tune.engine.watchers import DropUnneeded, GiveUp
from tune.errors import Halt
from tune.study.folder import SearchFolder
from tune.study.trial import Decision, Epoch, TrialLog, TrialState


def ended(number: int, state: TrialState) -> TrialLog:
    return TrialLog(number, {}, 0, error="DivergedError: no", ended=1, state=state)


def test_a_search_whose_every_trial_fails_gives_up_and_says_why() -> None:
    watcher = GiveUp(trials=20)
    for number in range(4):
        watcher.changed(ended(number, TrialState.FAIL))
    with pytest.raises(Halt, match="first 5 trials failed, trial 4 for this reason: Diverged"):
        watcher.changed(ended(4, TrialState.FAIL))


def test_a_search_that_is_over_anyway_is_not_given_up() -> None:
    watcher = GiveUp(trials=5)
    for number in range(5):
        watcher.changed(ended(number, TrialState.FAIL))
    with pytest.raises(Halt):  # one that was asked for one more would have been
        fail(6, failures=5)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_one_trial_that_does_not_fail_keeps_hope_up(state: TrialState) -> None:
    watcher = GiveUp(trials=20)
    watcher.changed(ended(0, TrialState.FAIL))
    watcher.changed(ended(1, state))
    for number in range(2, 9):
        watcher.changed(ended(number, TrialState.FAIL))
    with pytest.raises(Halt):  # without that one it would not have
        fail(20, failures=8)


def fail(trials: int, failures: int) -> None:
    watcher = GiveUp(trials)
    for number in range(failures):
        watcher.changed(ended(number, TrialState.FAIL))


def test_a_trial_that_pauses_keeps_hope_up() -> None:
    paused = Epoch({"val_acc": 0.9, "val_loss": 1.0}, 0, Decision.PAUSE)
    watcher = GiveUp(trials=20)
    watcher.changed(TrialLog(0, {}, 0, [paused]))
    for number in range(1, 9):
        watcher.changed(ended(number, TrialState.FAIL))
    assert watcher._hope


@pytest.mark.parametrize(
    ("state", "decision", "left"),
    [
        (TrialState.COMPLETE, Decision.GO_ON, ["best.pt"]),
        (TrialState.PRUNED, Decision.STOP, []),
        (TrialState.FAIL, Decision.GO_ON, []),
        (TrialState.RUNNING, Decision.GO_ON, ["best.pt", "last.pt"]),
        (TrialState.RUNNING, Decision.PAUSE, ["best.pt", "last.pt"]),
    ],
)
def test_what_will_not_be_asked_for_is_deleted(
    state: TrialState, decision: Decision, left: list[str], tmp_path: Path
) -> None:
    home = SearchFolder("one", tmp_path)
    folder = home.trial(0)
    folder.mkdir(parents=True)
    for name in ("best.pt", "last.pt"):
        (folder / name).write_bytes(b"state")
    log = TrialLog(0, {}, 0, [Epoch({"val_acc": 0.5, "val_loss": 1.0}, 0, decision)], state=state)
    DropUnneeded(home, "trial").changed(log)
    assert sorted(path.name for path in folder.iterdir()) == left
