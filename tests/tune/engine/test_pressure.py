from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from optuna.trial import TrialState
from ray.exceptions import RayActorError
from ray.tune import Tuner

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, reported
from tune.base.errors import Halt
from tune.config.loading import load_config
from tune.engine import trials
from tune.engine.bridge import LedgerSearcher
from tune.engine.callback import LedgerCallback
from tune.engine.pressure import MemoryPressure
from tune.engine.resources import TrialResources
from tune.engine.stopping import TimeBudget
from tune.strategy.scheduling import run_all
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.trial import Decision

RAYS = """Failure # 1 (occurred at 2026-11-21_10-00-00)
2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 127.0.0.1,
ID: 3bf95f51) was 15.20GB used / 16.00GB limit (0.950000)
Ray killed 2 worker(s) based on the killing policy
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/x.html
"""
"""What Ray writes of a trial whose worker it killed."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_after_a_kill_trials_wait_and_start_again(clock: Clock) -> None:
    told: list[str] = []
    pressure = MemoryPressure(told.append, clock=clock)
    assert not pressure.holds_back(running=7)
    pressure.killed(running=2)
    pressure.killed(running=1)
    assert len(told) == 1
    assert pressure.holds_back(running=0)
    clock.now = 2.1
    assert not pressure.holds_back(running=1)


def test_if_it_repeats_fewer_run_at_once_until_one_has_ended(clock: Clock) -> None:
    pressure = MemoryPressure(clock=clock)
    pressure.killed(running=3)
    pressure.reported()
    clock.now = 10.0
    pressure.killed(running=3)
    clock.now = 20.0
    assert pressure.holds_back(running=2)
    assert not pressure.holds_back(running=1)
    pressure.ended()
    assert not pressure.holds_back(running=2)


def test_one_at_least_is_tried(clock: Clock) -> None:
    pressure = MemoryPressure(clock=clock)
    for _ in range(5):
        pressure.killed(running=1)
        pressure.reported()
        clock.now += 100
    assert not pressure.holds_back(running=0)
    assert pressure.holds_back(running=1)


def test_kills_without_an_epoch_in_between_halt_the_search(clock: Clock) -> None:
    pressure = MemoryPressure(patience=60, clock=clock)
    while clock.now < 60:
        pressure.killed(running=1)
        assert pressure.holds_back(running=0)
        clock.now += 20
    with pytest.raises(Halt, match=r"for 60 s, Ray has killed each trial .*max_concurrent"):
        pressure.killed(running=1)


def test_kills_with_epochs_in_between_do_not(clock: Clock) -> None:
    pressure = MemoryPressure(patience=60, clock=clock)
    for _ in range(50):
        pressure.killed(running=1)
        clock.now += 40
        pressure.reported()


@pytest.fixture
def ledger() -> Ledger:
    return ledger_in_memory(load_config(DIGITS, ["budget.num_samples=3"]))


def searcher(
    ledger: Ledger, pressure: MemoryPressure, tmp_path: Path, left: float = 100.0
) -> LedgerSearcher:
    home, resources = SearchFolder("one", tmp_path), TrialResources(1, 0, 2)
    budget = TimeBudget(lambda: left)
    scheduler = run_all(ledger.config)
    return LedgerSearcher(ledger, scheduler, home, resources, pressure, budget, [], "")


def failed(number: int, tmp_path: Path, text: str) -> Any:
    (tmp_path / "error.txt").write_text(text)
    return SimpleNamespace(config={"number": number}, error_file=str(tmp_path / "error.txt"))


def test_what_ray_kills_for_memory_is_no_failure_and_is_tried_again(
    ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    pressure = MemoryPressure(clock=clock)
    callback = LedgerCallback(ledger, [], pressure, TimeBudget(lambda: 100.0), max_failures=0)
    search = searcher(ledger, pressure, tmp_path)
    assert search.suggest("a")["number"] == 0
    assert search.suggest("b")["number"] == 1
    ledger.add_epoch(1, 1, reported(0.5), Decision.GO_ON)
    callback.on_trial_error(0, [], failed(0, tmp_path, RAYS))
    assert search.suggest("c") is None, "it waits"
    clock.now += 50
    assert search.suggest("c")["number"] == 0
    callback.on_trial_error(0, [], failed(0, tmp_path, RAYS))
    clock.now += 50
    assert search.suggest("c") is None, "one at a time by now"
    ledger.end(1, TrialState.COMPLETE)
    assert search.suggest("c")["number"] == 0
    assert ledger.trials[0].state is TrialState.RUNNING
    callback.on_trial_error(0, [], failed(0, tmp_path, "Failure # 1\nThe actor died\n"))
    assert ledger.trials[0].state is TrialState.FAIL, "that was its own"


def test_waiting_for_memory_ends_with_the_time_budget(
    ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    pressure = MemoryPressure(clock=clock)
    pressure.killed(running=1)
    assert searcher(ledger, pressure, tmp_path).suggest("a") is None
    assert searcher(ledger, pressure, tmp_path, left=0.0).suggest("a") == "FINISHED"


@pytest.mark.parametrize(
    ("error", "halts"),
    [
        (RuntimeError("2 worker(s) were killed due to the node running low on memory."), True),
        (RayActorError(), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_an_error_of_rays_own_halts_the_search_and_a_mistake_of_ours_does_not(
    error: Exception, halts: bool
) -> None:
    ended: list[str] = []
    killed = SimpleNamespace(kill_workers=lambda: ended.append("workers"))
    asked = SimpleNamespace(release=lambda: ended.append("resources"))

    class Broken:
        def fit(self) -> None:
            raise error

    with pytest.raises(Halt if halts else RuntimeError):
        trials._fit(cast("Tuner", Broken()), cast("LedgerCallback", killed), cast("Any", asked))
    assert ended == ["workers", "resources"]  # of a Ray that is not ours


LOST = (
    "Failure # 1 (occurred at 2026-01-31)\nray.exceptions.ActorDiedError: The actor died because "
    "its node has died. Node Id: 3f\n\tthe actor's node was preempted: \n"
)


NO_DATA = (
    "Failure # 1 (occurred at 2026-01-31)\nray.exceptions.RayTaskError(DataAwayError): ray::train()"
    "\ntrainable.data.forms.remote.DataAwayError: on node-2, data.root=s3://x cannot be fetched"
)


@pytest.mark.parametrize("error", [LOST, NO_DATA])
def test_a_machine_that_is_gone_or_has_no_data_is_no_failure_of_its_trials_as_they_come_further(
    error: str, ledger: Ledger, tmp_path: Path
) -> None:
    budget = TimeBudget(lambda: 100.0)
    pressure = MemoryPressure()
    callback = LedgerCallback(ledger, [], pressure, budget, max_failures=0)
    search = searcher(ledger, pressure, tmp_path)

    def lose(times: int) -> None:
        for _ in range(times):
            assert search.suggest("a")["number"] == 0
            callback.on_trial_error(0, [], failed(0, tmp_path, error))

    lose(5)
    assert not ledger.trials[0].state.is_finished()
    assert search.suggest("a")["number"] == 0
    ledger.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    callback.on_trial_error(0, [], failed(0, tmp_path, error))
    lose(4)
    assert not ledger.trials[0].state.is_finished()
    lose(1)
    assert ledger.trials[0].state is TrialState.FAIL, "it takes its machines along"


def test_no_more_trials_are_proposed_than_the_cluster_has_room_for(
    ledger: Ledger, tmp_path: Path
) -> None:
    search, room = searcher(ledger, MemoryPressure(), tmp_path), 1
    search._capacity = lambda: room
    assert search.suggest("a")["number"] == 0
    assert search.suggest("b") is None
    room = 2
    assert search.suggest("b")["number"] == 1
