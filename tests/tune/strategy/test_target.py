from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from optuna import create_study

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, reported
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.portfolio import search_plan
from tune.strategy.remaining import remaining_seconds
from tune.strategy.scheduling import build_scheduler, next_trial
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialState


def config(*given: str) -> SearchConfig:
    words = ["train.epochs=4", "budget.num_samples=12", "sampler.name=random", "confirm.top_k=0"]
    return load_config(DIGITS, [*words, *given])


class Growing:
    """Each trial ends better than the one before it: the first at 50 %, then 60, 70 ..."""

    def __init__(self) -> None:
        self._seen: list[Mapping[str, Any]] = []

    def __call__(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        if params not in self._seen:
            self._seen.append(dict(params))
        best = 0.5 + self._seen.index(params) / 10
        return [reported(best + (epoch - 3) / 100) for epoch in range(4)]


def states(ledger: Ledger) -> list[tuple[str, int]]:
    return [(log.state.name, len(log.epochs)) for log in ledger.trials.values()]


def test_the_trial_that_reaches_the_target_ends_itself_and_no_more_begin() -> None:
    given = config("budget.target=0.679", "scheduler.name=fifo")
    ledger, scheduler = ledger_in_memory(given), build_scheduler(given)
    simulate(ledger, scheduler, Growing(), 1)
    assert states(ledger) == [("COMPLETE", 4)] * 3  # 68 % in the second epoch of the third
    assert scheduler.has_enough(ledger)
    assert remaining_seconds(ledger, scheduler, 1) == 0


def test_what_runs_beside_it_is_stopped_after_its_next_epoch() -> None:
    given = config("budget.target=0.679", "scheduler.name=fifo")
    ledger = ledger_in_memory(given)
    simulate(ledger, build_scheduler(given), Growing(), 4)
    # The fourth reaches it first, with 77 %, in the same moment as the others their first epoch.
    assert states(ledger) == [("PRUNED", 2), ("PRUNED", 2), ("COMPLETE", 4), ("COMPLETE", 4)]


@pytest.mark.parametrize("name", ["asha", "halving", "median"])
def test_no_scheduler_stops_or_pauses_what_has_reached_it(name: str) -> None:
    given = config("budget.target=0.60", f"scheduler.name={name}")
    ledger = ledger_in_memory(given)
    simulate(ledger, build_scheduler(given), Growing(), 2)
    reached = [log for log in ledger.trials.values() if log.score and log.score >= 0.6]
    assert {(log.state, len(log.epochs)) for log in reached} == {(TrialState.COMPLETE, 4)}


def test_a_loss_is_reached_from_above() -> None:
    given = config("budget.target=0.5", "objective.metric=val_loss", "scheduler.name=fifo")
    ledger, scheduler = ledger_in_memory(given), build_scheduler(given)
    ledger.begin()
    ledger.add_epoch(0, 1, reported(0.9, loss=0.6), Decision.GO_ON)
    assert not scheduler.has_enough(ledger)
    ledger.add_epoch(0, 2, reported(0.9, loss=0.5), Decision.GO_ON)
    assert scheduler.has_enough(ledger)


def test_a_trial_that_failed_after_reaching_it_does_not_count() -> None:
    given = config("budget.target=0.679", "scheduler.name=fifo")
    ledger, scheduler = ledger_in_memory(given), build_scheduler(given)
    ledger.begin()
    ledger.add_epoch(0, 1, reported(0.9), Decision.GO_ON)
    ledger.end(0, TrialState.FAIL, "its worker died")
    assert not scheduler.has_enough(ledger)
    assert next_trial(ledger, scheduler) is not None


def test_a_target_that_comes_later_counts_what_may_still_end_well_alone() -> None:
    """As on a resume, after a scheduler has stopped or paused what had reached it."""
    before = config("scheduler.name=halving")
    plan = search_plan("one", before)
    study = create_study(direction="maximize", sampler=plan.sampler)
    ledger = Ledger(study, before, plan)
    for number, score in enumerate((0.9, 0.7, 0.8)):
        ledger.begin()
        ledger.add_epoch(number, 1, reported(score), Decision.PAUSE)
        ledger.release(number)
    ledger.end(0, TrialState.PRUNED)
    given = config("scheduler.name=halving", "budget.target=0.75")
    after, scheduler = Ledger(study, given, plan), build_scheduler(given)
    log = next_trial(after, scheduler)
    assert log is not None
    assert log.number == 2  # the first was stopped for good
    assert scheduler.wants(after, log)
    assert scheduler.decide(after, log, Epoch(reported(0.6), 0)) is Decision.GO_ON
    assert next_trial(after, scheduler) is None


def test_after_a_kill_what_ran_ends_and_nothing_else_begins() -> None:
    given = config("budget.target=0.679", "scheduler.name=fifo")
    plan = search_plan("one", given)
    study, scheduler = create_study(direction="maximize", sampler=plan.sampler), None
    before = Ledger(study, given, plan)
    for number, score in ((0, 0.5), (1, 0.7)):
        before.begin()
        before.add_epoch(number, 1, reported(score), Decision.GO_ON)
    after, scheduler = Ledger(study, given, plan), build_scheduler(given)
    taken = [next_trial(after, scheduler) for _ in range(3)]
    assert [log and log.number for log in taken] == [1, None, None]
    assert after.trials[0].state is TrialState.PRUNED
    assert scheduler.wants(after, after.trials[1])


@pytest.mark.parametrize("value", ["0", "-0.5"])
def test_a_loss_that_nothing_can_reach_is_a_mistake(value: str) -> None:
    with pytest.raises(ConfigError, match=r"budget.target=.*val_loss is above 0"):
        config(f"budget.target={value}", "objective.metric=val_loss")


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_target_is_a_number(value: str) -> None:
    with pytest.raises(ConfigError, match=r"budget\.target"):
        config(f"budget.target=.{value}", "objective.metric=val_loss")


@pytest.mark.parametrize("value", ["0", "1.2", "95"])
def test_an_accuracy_that_nothing_can_reach_is_a_mistake(value: str) -> None:
    with pytest.raises(ConfigError, match=r"budget.target=.*val_acc is above 0 and at most 1"):
        config(f"budget.target={value}")
