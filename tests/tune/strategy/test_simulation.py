from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, reported
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.scheduling import build_scheduler
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.trial import TrialLog, TrialState


@pytest.fixture
def config() -> SearchConfig:
    """Five random trials of three epochs, none of which is stopped."""
    given = ["train.epochs=3", "budget.num_samples=5", "sampler.name=random", "scheduler.name=fifo"]
    return load_config(DIGITS, given)


def curve(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Epochs of two seconds."""
    return [reported(0.5 + epoch / 10) for epoch in range(3)]


def run(config: SearchConfig, until: float, concurrent: int = 2) -> tuple[Ledger, float, list[Any]]:
    ledger, seen = ledger_in_memory(config), list[tuple[float, int, int]]()

    def watch(now: float, log: TrialLog) -> None:
        seen.append((now, log.number, len(log.epochs)))

    scheduler = build_scheduler(config)
    return ledger, simulate(ledger, scheduler, curve, concurrent, until=until, watch=watch), seen


def test_who_watches_sees_every_epoch_at_its_time(config: SearchConfig) -> None:
    _, end, seen = run(config, until=100)
    assert seen[:4] == [(2, 0, 1), (2, 1, 1), (4, 0, 2), (4, 1, 2)]
    assert len(seen) == 15
    assert end == seen[-1][0] == 18  # five trials of six seconds, two at once


def test_nothing_is_reported_after_the_time_is_up(config: SearchConfig) -> None:
    ledger, end, seen = run(config, until=9)
    assert end == seen[-1][0] == 8
    assert [ledger.trials[number].state for number in range(4)] == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
    ]
    assert [log.cut_short for log in ledger.trials.values()] == [False, False, True, True]
    assert not ledger.unfinished


def test_what_is_paused_when_the_time_is_up_is_stopped_and_not_cut_short(
    config: SearchConfig,
) -> None:
    halving = {"name": "halving", "grace_epochs": 1, "reduction_factor": 3}
    tree = config.model_dump(mode="json") | {"scheduler": halving}
    ledger, _, seen = run(SearchConfig.model_validate(tree), until=5, concurrent=1)
    assert [number for _, number, _ in seen] == [0, 1]
    assert [(log.state, log.cut_short) for log in ledger.trials.values()] == [
        (TrialState.PRUNED, False),
        (TrialState.PRUNED, False),
        (TrialState.PRUNED, True),
    ]
