from __future__ import annotations

import math
import time

import pytest

from tune.engine.stopping import TimeBudget


def test_a_clock_that_is_set_does_not_move_the_time_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = time.monotonic() + 0.3
    budget = TimeBudget(lambda: end - time.monotonic())
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert not budget.stop_all()
    time.sleep(0.4)
    assert budget.stop_all()


def test_without_a_budget_it_never_ends() -> None:
    assert not TimeBudget(lambda: math.inf).stop_all()


def test_what_is_left_is_estimated_anew_but_not_all_the_time() -> None:
    now, asked = 0.0, []

    def estimate() -> float:
        asked.append(now)
        return 10.0 if now < 5 else 1.0  # it turns out that the end takes longer

    budget = TimeBudget(estimate, clock=lambda: now)
    found = []
    for tick in range(13):
        now = tick / 2
        found.append(budget.stop_all())
    assert asked == [0, 1, 2, 3, 4, 5, 6]
    assert not any(found)
    now = 6.5
    assert budget.remaining() == 0.5


def test_the_end_comes_after_the_trials_within_the_budget_and_what_follows() -> None:
    endless = TimeBudget(lambda: math.inf, lambda: 5.0)
    assert endless.until_end(None) is None
    assert endless.until_end(60.0) == 65.0
    bounded = TimeBudget(lambda: 20.0, lambda: 5.0, clock=lambda: 0.0)
    assert bounded.until_end(None) == 25.0
    assert bounded.until_end(60.0) == 25.0
    assert bounded.until_end(10.0) == 15.0
    over = TimeBudget(lambda: -3.0, lambda: 5.0, clock=lambda: 0.0)
    assert over.until_end(60.0) == 5.0
    # What follows may be more than is kept for it: then some of it is left out.
    short = TimeBudget(lambda: 20.0, lambda: 90.0, lambda: 31.0, clock=lambda: 0.0)
    assert short.until_end(None) == short.until_end(60.0) == 31.0
    late = TimeBudget(lambda: 20.0, lambda: 90.0, lambda: -2.0, clock=lambda: 0.0)
    assert late.until_end(60.0) == 0.0
