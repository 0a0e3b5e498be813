"""Whose turn it is to run a search, on any machine."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from sqlalchemy import text

from tests.helpers.postgres import Postgres, postgres
from tests.helpers.processes import running, wait_until
from tune.base.errors import ConfigError
from tune.study.holding import Hold
from tune.study.shared import SharedFolder
from tune.study.storage import connect_args, open_storage
from tune.study.turns import FileTurn, ServerTurn

HOLD = """
import sys, time
from tune.study.turns import ServerTurn
assert ServerTurn(sys.argv[1], "one", print).take()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.mark.slow
def test_on_a_server_one_process_has_the_turn_and_its_death_gives_it_back(server: Postgres) -> None:
    with running([sys.executable, "-c", HOLD, server.url]) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        shared = SharedFolder("one", "memory://turns", server.url)
        assert shared.is_running
        assert not shared.take_turn(0.0, None)
        assert SharedFolder("two", "memory://turns", server.url).take_turn(0.0, None)
        other.kill()
        other.wait()
        assert shared.take_turn(5.0, None)
    assert SharedFolder("one", "memory://turns", server.url).is_running
    shared.end_turn()
    assert not SharedFolder("one", "memory://turns", server.url).is_running


def test_a_server_that_forgets_a_turn_is_asked_again(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.study.turns._LOOK_SECONDS", 0.2)
    lost: list[str] = []
    turn = ServerTurn(server.url, "forgotten", lost.append)
    assert turn.take()
    server.stop()
    server.start()
    other = ServerTurn(server.url, "forgotten", lost.append)
    wait_until(lambda: other.is_taken)
    assert lost == []
    turn.give_back()


def test_a_look_takes_no_turn(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    turn, looker = (ServerTurn(server.url, "looked at", print) for _ in range(2))
    monkeypatch.setattr(looker, "_try", lambda: pytest.fail("it takes what it looks for"))
    assert not looker.is_taken
    assert turn.take()
    assert looker.is_taken
    assert not ServerTurn(server.url, "another", print).is_taken
    turn.give_back()
    assert not looker.is_taken


def test_one_that_another_process_has_is_waited_for_as_long_as_asked(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.study.turns._ASK_SECONDS", 0.05)
    turn, other = (ServerTurn(server.url, "waited for", print) for _ in range(2))
    assert other.take()
    assert not turn.take()
    started = time.monotonic()
    assert not turn.take(0.3)
    assert time.monotonic() - started >= 0.3
    threading.Timer(0.3, other.give_back).start()
    assert turn.take(20.0)
    turn.give_back()


@pytest.mark.slow
def test_one_that_another_process_had_for_a_moment_is_not_lost(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.study.turns._LOOK_SECONDS", 0.2)
    lost: list[str] = []
    turn, other = (ServerTurn(server.url, "shared", lost.append) for _ in range(2))
    assert turn.take()
    turn._let_go()  # as where the server was started anew
    assert other._try()
    time.sleep(0.8)
    other._let_go()
    wait_until(lambda: turn._connection is not None, seconds=20)
    assert lost == []
    turn.give_back()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_look_at_the_lock_of_a_file_refuses_nobody(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("study.db-one.lock" if kind == "file" else "lock")
    looker = FileLock(path, thread_local=False)
    looker.acquire()
    threading.Timer(0.2, looker.release).start()
    if kind == "file":
        assert FileTurn(tmp_path / "study.db", "one").take()
    else:
        Hold("one", tmp_path, None).take()


@pytest.mark.slow  # it asks again for some seconds
def test_one_that_another_process_has_taken_meanwhile_is_lost(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.study.turns._LOOK_SECONDS", 3600.0)
    other = ServerTurn(server.url, "contested", print)
    lost: list[str] = []
    monkeypatch.setattr("tune.study.turns._LOOK_SECONDS", 0.3)
    turn = ServerTurn(server.url, "contested", lost.append)
    assert turn.take()
    turn._let_go()
    assert other.take()
    wait_until(lambda: bool(lost))
    assert lost == ["another process, which runs this search now"]
    other.give_back()


def test_the_server_too_notices_silence_even_where_an_answer_is_under_way(
    server: Postgres,
) -> None:
    turn = ServerTurn(server.url, "silent", print)
    assert turn.take()
    assert turn._connection is not None
    shown = {
        name: turn._connection.scalar(text(f"SHOW {name}"))
        for name in ("tcp_user_timeout", "tcp_keepalives_idle", "tcp_keepalives_count")
    }
    turn.give_back()
    assert shown == {
        "tcp_user_timeout": "50000",
        "tcp_keepalives_idle": "20",
        "tcp_keepalives_count": "3",
    }


def test_a_study_on_no_server_is_said_to_be(tmp_path: Path) -> None:
    shared = SharedFolder("one", str(tmp_path), "postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(ConfigError, match=r"tracking\.study=postgresql.* cannot be used"):
        shared.take_turn(0.0, None)


def test_both_ends_of_a_connection_notice_silence_unless_the_url_says_otherwise() -> None:
    found = connect_args("postgresql+psycopg://tune@host/study?connect_timeout=60")
    assert found == {
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 50_000,
    }
    assert connect_args("postgresql+pg8000://tune@host/study") == {}
    assert connect_args("sqlite:///study.db") == {}


def test_the_settings_reach_the_server_and_not_the_url(server: Postgres) -> None:
    storage = open_storage(server.url)
    assert storage.url == server.url
    with storage.engine.connect() as connection:
        settings = connection.connection.driver_connection.info.get_parameters()
    assert settings["tcp_user_timeout"] == "50000"
    assert settings["keepalives_idle"] == "20"
