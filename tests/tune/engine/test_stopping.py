from __future__ import annotations

import time

import pytest
from optuna.trial import TrialState

from tune.engine.stopping import GiveUp, TimeBudget
from tune.errors import Halt
from tune.study.trial import TrialLog


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


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_one_trial_that_does_not_fail_keeps_hope_up(state: TrialState) -> None:
    watcher = GiveUp(trials=20)
    watcher.changed(ended(0, TrialState.FAIL))
    watcher.changed(ended(1, state))
    for number in range(2, 9):
        watcher.changed(ended(number, TrialState.FAIL))


def test_a_clock_that_is_set_does_not_move_the_time_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budget = TimeBudget(0.5)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert not budget.stop_all()
    time.sleep(0.6)
    assert budget.stop_all()
    assert not TimeBudget(None).stop_all()
