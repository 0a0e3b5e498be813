"""A search that another process has taken over, while PostgreSQL was away for this one, is its own.

As where this machine alone lost its way to the server for a minute: the lock's connection is ended
there, which nobody has said here yet, and everything else comes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest
from rich.console import Console
from sqlalchemy import create_engine, text

from tests.helpers.commands import DIGITS
from tests.helpers.postgres import Postgres, postgres
from tests.helpers.processes import wait_until
from tests.helpers.results import add_trial
from tests.helpers.studies import search_of
from tune.base.errors import Halt
from tune.config.loading import load_config
from tune.engine.resources import TrialResources
from tune.engine.runner import _close_record
from tune.engine.stopping import TimeBudget
from tune.engine.trials import run_trials
from tune.strategy.choice import Choice
from tune.strategy.portfolio import open_search
from tune.strategy.scheduling import build_scheduler
from tune.study.definition import read_definition
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.lookup import folder_of
from tune.study.opening import conclude_study
from tune.study.search import Search
from tune.study.turns import ServerTurn
from tune.tracking.writer import RecordWriter

HALF = "last.pt.1-0123abcd.part"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def search(
    server: Postgres,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Search:
    monkeypatch.chdir(tmp_path)
    config = load_config(DIGITS, [f"tracking.storage={tmp_path / 'all'}", "budget.num_samples=1"])
    return search_of(config, server.url, request.node.name[:90])


@pytest.fixture
def lost() -> list[str]:
    """Why the turn was lost, once it is known here."""
    return []


@pytest.fixture
def home(search: Search, lost: list[str], monkeypatch: pytest.MonkeyPatch) -> SearchFolder:
    """Its folder, in which a trial was writing its checkpoint."""
    monkeypatch.setattr("tune.study.turns._AGAIN_SECONDS", 0.05)
    home = folder_of(search.name, search.config.tracking)
    home.begin(search, lost.append)
    home.checkpoints(0).write(HALF, b"half")
    return home


@pytest.fixture
def ledger(search: Search, home: SearchFolder) -> Ledger:
    """Its trials, all of which have run."""
    ledger = open_search(search)
    ledger._patience = 1.0
    add_trial(ledger, [0.9])
    run_trials(
        *(ledger, build_scheduler(search.config), TimeBudget(lambda: 100.0)),
        choice=Choice.of(search),
        home=home,
        resources=TrialResources(1, 0, 1),
        fingerprint="",
        weights_hash=None,
        search=search.identity,
        record=Mock(),
        console=Console(quiet=True),
        elapsed=lambda: 0.0,
    )
    return ledger


@pytest.fixture
def taken_over(
    server: Postgres, search: Search, home: SearchFolder
) -> Iterator[Callable[[], ServerTurn]]:
    """Has another process take it over."""
    other, engine = ServerTurn(server.url, search.name, print), create_engine(server.url)

    def take() -> ServerTurn:
        with engine.begin() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            )
        assert other.take(5.0)
        return other

    yield take
    other.give_back()
    home.release()
    engine.dispose()


def is_concluded(search: Search) -> bool:
    assert search.config.tracking.study is not None
    found = read_definition(search.config.tracking.study, search.name)
    assert found is not None
    return found.concluded


def test_nothing_is_written_to_its_study_before_the_turn_is_had_again(
    ledger: Ledger,
    search: Search,
    taken_over: Callable[[], ServerTurn],
) -> None:
    other = taken_over()  # between two looks of this process's own
    with pytest.raises(Halt, match="another process has the turn"):
        conclude_study(ledger, search.model_copy(update={"concluded": True}))
    with pytest.raises(Halt, match="another process has the turn"):
        ledger.begin()
    assert len(ledger.study.get_trials()) == 1
    assert not is_concluded(search)
    other.give_back()
    conclude_study(ledger, search.model_copy(update={"concluded": True}))
    assert is_concluded(search)


def test_once_it_is_lost_it_stays_so(
    ledger: Ledger,
    lost: list[str],
    taken_over: Callable[[], ServerTurn],
) -> None:
    other = taken_over()
    wait_until(lambda: bool(lost), seconds=20)
    other.give_back()
    with pytest.raises(Halt, match="another process has the turn"):
        ledger.begin()
    assert len(ledger.study.get_trials()) == 1


def test_what_its_trials_have_half_written_stays(
    home: SearchFolder, lost: list[str], taken_over: Callable[[], ServerTurn]
) -> None:
    home.clear_halves()
    assert home.checkpoints(0).names() == []
    home.checkpoints(0).write(HALF, b"half of the other's")
    taken_over()
    wait_until(lambda: bool(lost), seconds=20)
    home.clear_halves()
    assert home.checkpoints(0).names() == [HALF]


def test_its_time_is_the_others_to_note(
    home: SearchFolder, lost: list[str], taken_over: Callable[[], ServerTurn]
) -> None:
    home.note_elapsed(7.5)
    taken_over()
    wait_until(lambda: bool(lost), seconds=20)
    home.note_elapsed(99.0)
    assert home.elapsed == 7.5


def test_its_record_is_not_closed(
    home: SearchFolder, lost: list[str], taken_over: Callable[[], ServerTurn]
) -> None:
    closed: list[str] = []
    record = SimpleNamespace(close=closed.append)
    writer = cast("RecordWriter", SimpleNamespace(started=True, finish=lambda _: record))
    _close_record(writer, home)
    assert closed == ["KILLED"]
    taken_over()
    wait_until(lambda: bool(lost), seconds=20)
    _close_record(writer, home)
    assert closed == ["KILLED"]


def test_whose_it_is_is_not_sure_for_long_without_an_answer(
    home: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.is_own
    monkeypatch.setattr("tune.study.turns._SURE_SECONDS", 0.0)
    assert not home.is_own
    home.release()
