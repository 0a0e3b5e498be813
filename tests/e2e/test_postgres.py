"""Optuna's storage on a server that goes away in the middle."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.processes import free_port
from tests.helpers.studies import ledger_of, reported
from tune.config.loading import load_config
from tune.study.ledger import Ledger
from tune.study.trial import Decision

TRIALS = 8


class Server:
    """A PostgreSQL server of its own, on loopback. It refuses to run as root."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self._port = free_port()
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "tune", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://tune@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = f"-p {self._port} -h 127.0.0.1 -k {self._folder}"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "stop")

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [str(self._programs / program), *words],
            cwd=self._folder,
            user=self._user,
            check=True,
            stdout=subprocess.DEVNULL,
        )


@pytest.fixture
def server() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("PostgreSQL's server is not installed")
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which others cannot enter
        server = Server(found[-1], Path(folder))
        server.start()
        yield server
        server.stop()


def run_trials(ledger: Ledger) -> None:
    for number in range(TRIALS):
        assert ledger.begin().number == number
        for epoch in (1, 2, 3):
            ledger.add_epoch(number, epoch, reported(0.1 * epoch), Decision.GO_ON)
        ledger.end(number, TrialState.COMPLETE if number % 2 else TrialState.FAIL, None)


@pytest.mark.slow
def test_a_server_that_goes_away_is_waited_for_and_nothing_is_there_twice(server: Server) -> None:
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
