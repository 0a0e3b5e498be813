"""Optuna's storage on a server that goes away in the middle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.postgres import Postgres, postgres
from tests.helpers.studies import ledger_of, reported
from tune.config.loading import load_config
from tune.study.ledger import Ledger
from tune.study.trial import Decision

TRIALS = 4


@pytest.fixture
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


def run_trials(ledger: Ledger) -> None:
    for number in range(TRIALS):
        assert ledger.begin().number == number
        for epoch in (1, 2, 3):
            ledger.add_epoch(number, epoch, reported(0.1 * epoch), Decision.GO_ON)
        ledger.end(number, TrialState.COMPLETE if number % 2 else TrialState.FAIL, None)


@pytest.mark.slow
def test_a_server_that_goes_away_is_waited_for_and_nothing_is_there_twice(server: Postgres) -> None:
    config = load_config(DIGITS, [])
    ledger = ledger_of(config, server.url)
    stop = threading.Event()

    def take_away() -> None:
        while not stop.wait(1.0):
            server.stop()
            time.sleep(0.5)
            server.start()

    thread = threading.Thread(target=take_away)
    thread.start()
    try:
        run_trials(ledger)
    finally:
        stop.set()
        thread.join()
    again = ledger_of(config, server.url)
    assert again.trials == ledger.trials
    assert sorted(again.trials) == list(range(TRIALS))
    assert again.unfinished == []
