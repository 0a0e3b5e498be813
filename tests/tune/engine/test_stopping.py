from __future__ import annotations

import time

import pytest

from tune.engine.stopping import TimeBudget


def test_a_clock_that_is_set_does_not_move_the_time_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budget = TimeBudget(0.5)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert not budget.stop_all()
    time.sleep(0.6)
    assert budget.stop_all()
    assert not TimeBudget(None).stop_all()
