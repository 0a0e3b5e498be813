from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from tests.helpers.commands import DIGITS
from tests.tune.study.test_ledger import told
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.schedulers import build_scheduler, longest_trial
from tune.study.ledger import Ledger, open_ledger


@pytest.fixture
def config() -> SearchConfig:
    return load_config(DIGITS, ["train.epochs=9"])


@pytest.fixture
def reopen(config: SearchConfig, tmp_path: Path) -> Callable[[], Ledger]:
    """Open the ledger of one search, again and again as after a kill."""
    return lambda: open_ledger(config, "test", "id", f"sqlite:///{tmp_path / 'optuna.db'}")


def opened(config: SearchConfig, tmp_path: Path) -> Ledger:
    return open_ledger(config, "test", "id", f"sqlite:///{tmp_path / 'optuna.db'}")


def test_asha_runs_to_the_longest_trial_of_the_space(tmp_path: Path) -> None:
    config = load_config(DIGITS, ["space.train.epochs=[4,12]", "scheduler.reduction_factor=2"])
    assert longest_trial(config) == 12
    assert isinstance(build_scheduler(opened(config, tmp_path)), ASHAScheduler)


@pytest.mark.parametrize("override", ["scheduler.name=fifo", "train.epochs=1"])
def test_fifo_where_nobody_is_to_be_stopped(override: str, tmp_path: Path) -> None:
    ledger = opened(load_config(DIGITS, [override]), tmp_path)
    assert isinstance(build_scheduler(ledger), FIFOScheduler)


def run(reopen: Callable[[], Ledger], kills: set[int]) -> list[int]:
    """Run twelve trials one by one; returns how long each was let run.

    Before some epochs, counted from the first trial's first, the process is killed: it goes on
    with what the storage has, and the trial tells its last epoch again.
    """
    draw = random.Random(1)
    scores = [[draw.random() for _ in range(9)] for _ in range(12)]
    ledger, count, lengths = reopen(), 0, []
    asha = build_scheduler(ledger)
    for number in range(12):
        ledger.begin()
        trial: Any = SimpleNamespace(trial_id="any", config={"number": number})
        asha.on_trial_add(None, trial)
        epoch, decision = 1, TrialScheduler.CONTINUE
        while decision == TrialScheduler.CONTINUE and epoch <= 9:
            count += 1
            if count in kills:
                ledger = reopen()
                ledger.begin()
                asha = build_scheduler(ledger)
                trial.trial_id = f"new-{count}"
                asha.on_trial_add(None, trial)
                epoch = max(1, epoch - 1)
            result = {**told(scores[number][epoch - 1]), "epoch": epoch}
            if epoch < 9:
                decision = asha.on_trial_result(None, trial, result)
            stopped = decision == TrialScheduler.STOP
            ledger.add_epoch(number, epoch, result, stopped=stopped)
            epoch += 1
        asha.on_trial_complete(None, trial, result)
        ledger.end(number, TrialState.PRUNED if stopped else TrialState.COMPLETE)
        lengths.append(len(ledger.trials[number].epochs))
    return lengths


def test_asha_decides_after_a_kill_as_without(config: SearchConfig, tmp_path: Path) -> None:
    def lengths(name: str, kills: set[int]) -> list[int]:
        url = f"sqlite:///{tmp_path / name}"
        return run(lambda: open_ledger(config, "test", "id", url), kills)

    whole = lengths("whole.db", set())
    assert len(set(whole)) > 1
    for number, kills in enumerate(({1}, {10}, {11, 12}, {5, 9, 14, 22, 30}, set(range(40)))):
        assert lengths(f"{number}.db", kills) == whole


def test_without_kills_it_is_rays_own(reopen: Callable[[], Ledger]) -> None:
    ours = run(reopen, set())
    rays = ASHAScheduler("epoch", "val_acc", "max", 9, grace_period=1, reduction_factor=3)
    draw = random.Random(1)
    for number in range(12):
        scores = [draw.random() for _ in range(9)]
        trial: Any = SimpleNamespace(trial_id=str(number))
        rays.on_trial_add(None, trial)
        told = enumerate(scores, 1)
        decisions = (rays.on_trial_result(None, trial, {"epoch": e, "val_acc": v}) for e, v in told)
        stops = [e for e, decision in enumerate(decisions, 1) if decision == TrialScheduler.STOP]
        assert ours[number] == stops[0]
