from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna import create_study
from optuna.pruners import MedianPruner
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from tests.helpers.commands import DIGITS
from tests.helpers.plugins import use_plugin
from tests.helpers.studies import ledger_in_memory, ledger_of, reported
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.schedulers import Scheduler, rungs
from tune.strategy.scheduling import build_scheduler, longest_trial
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialLog, TrialState


@pytest.fixture
def config() -> SearchConfig:
    return load_config(DIGITS, ["train.epochs=9", "budget.num_samples=12"])


def scores(number: int, epochs: int = 9) -> list[float]:
    draw = random.Random(number)
    return [draw.random() for _ in range(epochs)]


def curve_of(seen: list[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], list[dict[str, Any]]]:
    """Random curves, the n-th to whatever is proposed as the n-th."""

    def curve(params: Mapping[str, Any]) -> list[dict[str, Any]]:
        if params not in seen:
            seen.append(params)
        return [reported(score) for score in scores(seen.index(params))]

    return curve


def lengths(ledger: Ledger) -> list[int]:
    return [len(log.epochs) for _, log in sorted(ledger.trials.items())]


def test_the_rungs_reach_to_the_longest_trial_of_the_space() -> None:
    config = load_config(DIGITS, ["space.train.epochs=[4,12]", "scheduler.reduction_factor=2"])
    assert longest_trial(config) == 12
    assert rungs(config.scheduler, 12) == [1, 2, 4, 8]
    stopped = load_config(DIGITS, ["space.train.epochs=[4,12]", "train.stop_after=5"])
    assert longest_trial(stopped) == 5
    some = load_config(DIGITS, ["train.epochs=12", "space.train.stop_after=[3,5]"])
    assert longest_trial(some) == 5


@pytest.mark.parametrize("override", ["scheduler.name=fifo", "train.epochs=1"])
def test_nothing_is_stopped_where_nothing_is_to_be(override: str) -> None:
    scheduler = build_scheduler(load_config(DIGITS, [override]))
    assert type(scheduler) is Scheduler


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Kills:
    """When a process is killed: before a decision (from 1), or after noting it (negative)."""

    at: set[int]
    count: int = 0

    def before(self) -> None:
        self.count += 1
        if self.count in self.at:
            raise Killed

    def after(self) -> None:
        if -self.count in self.at:
            self.at.discard(-self.count)
            raise Killed


class DeadlyScheduler(Scheduler):
    def __init__(self, real: Scheduler, kills: Kills) -> None:
        self.real, self.kills = real, kills

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        self.kills.before()
        return self.real.decide(study, trial, epoch)

    def next_paused(self, study: Ledger) -> TrialLog | None:
        return self.real.next_paused(study)


class DeadlyLedger(Ledger):
    kills: Kills

    def add_epoch(self, *args: Any, **kwargs: Any) -> None:
        super().add_epoch(*args, **kwargs)
        self.kills.after()


def run_with_kills(reopen: Callable[[], Ledger], at: set[int]) -> Ledger:
    """Simulate a search that is killed, and goes on with what the storage has."""
    kills, curve = Kills(at), curve_of([])
    while True:
        ledger = reopen()
        ledger.__class__, ledger.kills = DeadlyLedger, kills  # type: ignore[attr-defined]
        try:
            simulate(ledger, DeadlyScheduler(build_scheduler(ledger.config), kills), curve)
        except Killed:
            continue
        return reopen()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("asha", "halving", "median")],
)
def test_after_kills_the_same_is_decided_as_without(name: str, tmp_path: Path) -> None:
    config = load_config(
        DIGITS, ["train.epochs=9", "budget.num_samples=12", f"scheduler.name={name}"]
    )

    def outcome(file: str, kills: set[int]) -> list[Any]:
        ledger = run_with_kills(lambda: ledger_of(config, f"sqlite:///{tmp_path / file}"), kills)
        return [(log.params, log.state, len(log.epochs)) for log in ledger.trials.values()]

    whole = outcome("whole.db", set())
    assert len({length for _, _, length in whole}) > 1
    for number, kills in enumerate(({1}, {10, 11, -12}, {2, -3, -5, 9, 14, 22, -22})):
        assert outcome(f"{number}.db", kills) == whole


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0])
def test_asha_decides_as_rays_own(factor: float) -> None:
    words = ["train.epochs=9", "budget.num_samples=30", f"scheduler.reduction_factor={factor}"]
    ledger = ledger_in_memory(load_config(DIGITS, words))
    simulate(ledger, build_scheduler(ledger.config), curve_of([]))
    rays = ASHAScheduler("epoch", "val_acc", "max", 9, grace_period=1, reduction_factor=factor)
    for number in range(30):
        trial: Any = SimpleNamespace(trial_id=str(number))
        rays.on_trial_add(None, trial)
        assert lengths(ledger)[number] == next(
            epoch
            for epoch, score in enumerate(scores(number), 1)
            if rays.on_trial_result(None, trial, {"epoch": epoch, "val_acc": score})
            == TrialScheduler.STOP
        )


@pytest.mark.parametrize(("metric", "grace"), [("val_acc", 1), ("val_loss", 3)])
def test_median_decides_as_optunas_own(metric: str, grace: int) -> None:
    words = [f"objective.metric={metric}", f"scheduler.grace_epochs={grace}", "train.epochs=9"]
    words += ["scheduler.name=median", "budget.num_samples=30"]
    ledger = ledger_in_memory(load_config(DIGITS, words))
    seen = list[Mapping[str, Any]]()

    def curve(params: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [reported(each["val_acc"], loss=each["val_acc"]) for each in curve_of(seen)(params)]

    simulate(ledger, build_scheduler(ledger.config), curve)
    assert 9 in lengths(ledger)
    assert len(set(lengths(ledger))) > 2

    pruner = MedianPruner(n_startup_trials=4, n_warmup_steps=grace)
    study = create_study(direction="maximize" if metric == "val_acc" else "minimize", pruner=pruner)
    for number in range(30):
        trial, best = study.ask(), max if metric == "val_acc" else min
        for epoch, score in enumerate(scores(number), 1):
            trial.report(score, epoch)
            stopped = trial.should_prune() and epoch < 9
            if stopped:
                break
        assert lengths(ledger)[number] == epoch
        state = TrialState.PRUNED if stopped else TrialState.COMPLETE
        study.tell(trial, None if stopped else best(scores(number)), state=state)


@pytest.mark.parametrize("name", ["asha", "halving", "median"])
def test_a_decision_reads_nothing_from_the_storage(name: str) -> None:
    """It would be all epochs so far, at each of them."""
    words = [f"scheduler.name={name}", "train.epochs=9", "budget.num_samples=12"]
    ledger = ledger_in_memory(load_config(DIGITS, words))
    simulate(ledger, build_scheduler(ledger.config), curve_of([]))
    known: Any = SimpleNamespace(trials=ledger.trials, objective=ledger.objective)
    newest = ledger_in_memory(ledger.config).begin()
    epoch = Epoch(reported(0.0), at=0)
    assert build_scheduler(ledger.config).decide(known, newest, epoch) is not Decision.GO_ON


def test_halving_pauses_all_and_lets_the_best_go_on_from_where_they_were() -> None:
    words = ["train.epochs=9", "budget.num_samples=18", "scheduler.name=halving"]
    ledger = ledger_in_memory(load_config(DIGITS, words))
    seconds = simulate(ledger, build_scheduler(ledger.config), curve_of([]), concurrent=2)
    found = lengths(ledger)
    assert [found.count(length) for length in (1, 3, 9)] == [12, 4, 2]
    states = [log.state for log in ledger.trials.values()]
    assert states.count(TrialState.COMPLETE) == 2
    assert states.count(TrialState.PRUNED) == 16
    first = {number: scores(number)[0] for number in range(18)}
    best = sorted(first, key=first.__getitem__, reverse=True)[:6]
    assert sorted(best) == [number for number, length in enumerate(found) if length > 1]
    assert seconds == pytest.approx(2.0 * sum(found) / 2, abs=2.0 * 9)


@pytest.mark.slow
def test_a_halving_search_that_is_extended_lets_its_new_trials_compete(tmp_path: Path) -> None:
    words, url = ["train.epochs=9", "scheduler.name=halving"], f"sqlite:///{tmp_path / 'one.db'}"
    curve = curve_of([])
    for samples in (9, 18):
        config = load_config(DIGITS, [*words, f"budget.num_samples={samples}"])
        ledger = ledger_of(config, url)
        simulate(ledger, build_scheduler(config), curve)
    first, new = lengths(ledger)[:9], lengths(ledger)[9:]
    assert sorted(first) == [1, 1, 1, 1, 1, 1, 3, 3, 9], "as they had ended"
    assert max(new) > 1


def test_an_objective_that_is_minimized_turns_the_rungs_round() -> None:
    words = ["train.epochs=9", "budget.num_samples=12", "scheduler.name=halving"]
    ledger = ledger_in_memory(load_config(DIGITS, [*words, "objective.metric=val_loss"]))
    simulate(ledger, build_scheduler(ledger.config), _losses)
    best = min(ledger.trials.values(), key=lambda log: log.epochs[0].metrics["val_loss"])
    assert len(best.epochs) == 9


def _losses(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [reported(0.5, loss=params["optim.lr"] + 1 / epoch) for epoch in range(1, 10)]


def test_a_failed_trial_is_not_waited_for_at_a_rung(config: SearchConfig) -> None:
    words = ["train.epochs=9", "budget.num_samples=3", "scheduler.name=halving"]
    ledger = ledger_in_memory(load_config(DIGITS, words))
    ledger.begin()
    ledger.end(0, TrialState.FAIL, "DivergedError: no")
    simulate(ledger, build_scheduler(ledger.config), curve_of([]))
    assert sorted(lengths(ledger)) == [0, 1, 9]


def test_another_scheduler_needs_one_file_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The seam: listed in `TUNE_PLUGINS`, named in a config, and run on recorded curves."""
    use_plugin("tests.helpers.plugins.third_epoch", monkeypatch)
    config = load_config(
        DIGITS, ["train.epochs=5", "budget.num_samples=4", "scheduler.name=third_epoch"]
    )
    ledger = ledger_in_memory(config)
    simulate(ledger, build_scheduler(config), lambda _: [reported(0.5)] * 5)
    assert lengths(ledger) == [5, 3, 3, 3]


def test_an_unknown_scheduler_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"scheduler\.name=ahsa: must be one of .*nearest: asha"):
        load_config(DIGITS, ["scheduler.name=ahsa"])
