from __future__ import annotations

from collections.abc import Mapping
from statistics import mean
from typing import Any

import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, reported
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.remaining import _Stand, remaining_seconds
from tune.strategy.scheduling import build_scheduler
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.trial import Decision, TrialLog, TrialState


def config(*given: str) -> SearchConfig:
    words = ["train.epochs=6", "budget.num_samples=20", "sampler.name=random"]
    return load_config(DIGITS, [*words, *given])


def curve(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Six epochs, the longer the deeper, to an accuracy that the learning rate decides."""
    seconds, rate = 1.0 + params["model.unfreeze_depth"], params["optim.lr"]
    return [
        {**reported(min(0.99, rate * 50 + epoch / 20)), "epoch_seconds": seconds}
        for epoch in range(6)
    ]


SHARES = (0.25, 0.5, 0.75)


def errors(given: SearchConfig, concurrent: int) -> list[float]:
    """By how much estimates are off at these shares of a search, as shares of the whole."""
    ledger, scheduler = ledger_in_memory(given), build_scheduler(given)
    seen: list[tuple[float, float]] = []

    def watch(now: float, _: TrialLog) -> None:
        guess = remaining_seconds(ledger, scheduler, concurrent)
        assert guess is not None
        seen.append((now, guess))

    end = simulate(ledger, scheduler, curve, concurrent, watch=watch)
    found = []
    for share in SHARES:
        now, guess = next(each for each in seen if each[0] >= share * end)
        found.append(abs(guess - (end - now)) / end)
    return found


@pytest.mark.parametrize(
    ("name", "allowed"), [("fifo", 0.15), ("asha", 0.2), ("halving", 0.2), ("median", 0.4)]
)
def test_from_a_quarter_on_it_is_off_by_a_fifth_of_the_whole_on_average(
    name: str, allowed: float
) -> None:
    """More with the median: its first four trials say nothing of how many it will stop."""
    runs = [
        errors(config(f"scheduler.name={name}", f"sampler.seed={seed}"), 2) for seed in range(4)
    ]
    for share, found in zip(SHARES, zip(*runs, strict=True), strict=True):
        assert mean(found) < allowed, (share, found)


@pytest.mark.parametrize("name", ["fifo", "asha", "halving", "median"])
def test_a_target_that_nothing_reaches_changes_no_estimate(name: str) -> None:
    words = [f"scheduler.name={name}", "sampler.seed=1"]
    assert errors(config(*words, "budget.target=0.999"), 2) == errors(config(*words), 2)


def test_what_is_paused_goes_on_as_far_as_its_scheduler_has_places_left() -> None:
    given = config("scheduler.name=halving", "budget.num_samples=3", "train.epochs=3")
    ledger, scheduler = ledger_in_memory(given), build_scheduler(given)
    for number in range(3):
        ledger.begin()
        ledger.add_epoch(number, 1, reported(0.5 + number / 10), Decision.PAUSE)
        ledger.release(number)
    # One of three goes on, for two more epochs.
    assert remaining_seconds(ledger, scheduler, 1) == pytest.approx(2 * 2, abs=0.1)
    ledger.go_on(2)
    ledger.add_epoch(2, 2, reported(0.7), Decision.GO_ON)
    assert remaining_seconds(ledger, scheduler, 1) == pytest.approx(2, abs=0.1)


def test_trials_that_are_never_stopped_say_nothing_of_those_that_may_be() -> None:
    """The median's first four, with which the others are compared."""
    given = config("budget.num_samples=20", "scheduler.name=median")
    scheduler = build_scheduler(given)
    rests = []
    for exempt in (0, 4):
        ledger = ledger_in_memory(given)
        for number in range(exempt + 4):
            ledger.begin()
            for epoch in range(1, 7 if number < 4 else 2):
                ledger.add_epoch(number, epoch, reported(0.5), Decision.GO_ON)
            ledger.end(number, TrialState.COMPLETE if number < 4 else TrialState.PRUNED)
        rests.append(remaining_seconds(ledger, scheduler, 1))
    without, after = rests
    # Sixteen trials of 1 + 5 / 2 epochs; then twelve, of which four of four were stopped at once.
    assert without == pytest.approx(2 * 16 * (1 + 0.5 * 5), abs=0.1)
    assert after == pytest.approx(2 * 12 * (1 + 8 / 20 * 5), abs=0.1)


@pytest.fixture
def ledger() -> Ledger:
    return ledger_in_memory(config("budget.num_samples=2", "scheduler.name=fifo"))


def test_nobody_knows_before_an_epoch(ledger: Ledger) -> None:
    scheduler = build_scheduler(ledger.config)
    assert remaining_seconds(ledger, scheduler, 1) is None
    ledger.begin()
    assert remaining_seconds(ledger, scheduler, 1) is None


def test_trials_that_run_to_their_end_are_counted_to_the_second(ledger: Ledger) -> None:
    scheduler = build_scheduler(ledger.config)
    ledger.begin()
    ledger.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    assert remaining_seconds(ledger, scheduler, 1) == pytest.approx(2 * (5 + 6), abs=0.1)
    for epoch in range(2, 7):
        ledger.add_epoch(0, epoch, reported(0.5), Decision.GO_ON)
    ledger.end(0, TrialState.COMPLETE)
    assert remaining_seconds(ledger, scheduler, 1) == pytest.approx(2 * 6, abs=0.1)
    ledger.begin()
    for epoch in range(1, 7):
        ledger.add_epoch(1, epoch, reported(0.5), Decision.GO_ON)
    ledger.end(1, TrialState.COMPLETE)
    assert remaining_seconds(ledger, scheduler, 1) == 0


def test_a_trial_that_failed_before_its_first_epoch_is_not_run_again(ledger: Ledger) -> None:
    scheduler = build_scheduler(ledger.config)
    for number in (0, 1):
        ledger.begin()
        ledger.add_epoch(number, 1, reported(0.5), Decision.GO_ON)
        ledger.end(number, TrialState.FAIL, "MemoryError: no room")
    assert remaining_seconds(ledger, scheduler, 1) == 0


def test_trials_that_end_themselves_early_are_not_expected_to_train_on() -> None:
    given = config("budget.num_samples=3", "scheduler.name=fifo")
    ledger, scheduler = ledger_in_memory(given), build_scheduler(given)
    for number in (0, 1):
        ledger.begin()
        for epoch in range(1, 4):
            ledger.add_epoch(number, epoch, reported(0.5), Decision.GO_ON)
        ledger.end(number, TrialState.COMPLETE)
    # Two of two ended after three epochs, beside sixteen that the scheduler would let go on.
    expected = 3 + 16 / 18 * 3
    assert remaining_seconds(ledger, scheduler, 1) == pytest.approx(2 * expected, abs=0.1)


def test_a_trial_has_no_more_epochs_than_its_own() -> None:
    given = config("space.train.epochs=[2, 6]", "budget.num_samples=1", "scheduler.name=fifo")
    ledger, scheduler = ledger_in_memory(given), build_scheduler(given)
    log = ledger.begin()
    log.params["train.epochs"] = 2
    ledger.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    assert remaining_seconds(ledger, scheduler, 1) == pytest.approx(2, abs=0.1)


def test_a_night_between_two_runs_is_no_start(ledger: Ledger) -> None:
    scheduler = build_scheduler(ledger.config)
    for number, late in ((0, 43_200_000), (1, 0)):
        log = ledger.begin()
        ledger.add_epoch(number, 1, reported(0.5), Decision.GO_ON)
        log.started -= late
    assert remaining_seconds(ledger, scheduler, 2) == pytest.approx(2 * 5, abs=0.1)


def test_a_trial_that_pauses_while_it_is_looked_at_does_no_harm() -> None:
    assert _Stand(prior=0.3, went_on=0, ended=0, paused=0).paused_share == 0.3
