"""Whose turn it is to run a search: one process's, on whatever machine, until it ends."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from operator import not_
from pathlib import Path
from typing import Final, Protocol

from filelock import FileLock, Timeout
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tune.base.locks import acquire, is_taken
from tune.study.reach import dialect_of, file_of
from tune.study.search import OWN_STUDY
from tune.study.storage import KEEPALIVE, SILENCE, TurnTakenError, connect_args, unusable

_ASK_SECONDS: Final = 1.0
"""How often a turn is asked for that another process has, while that one is waited for."""
_LOOK_SECONDS: Final = 5.0
"""How often it is looked whether the turn is still this process's."""
_SURE_SECONDS: Final = 20.0
"""For how long it is sure to be, without a look: for less than half the silence after which the
server gives it to another."""
_AGAIN_SECONDS: Final = 1.0
_TRIES: Final = 5
"""How soon and how often a turn is asked for that another process has, before it is lost: that one
may be a start that is refused, and gives it back."""
_HOLDER: Final = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND ((CAST(classid AS bigint) << 32) | CAST(objid AS bigint)) = CAST(:key AS bigint)"
)
"""How many sessions have an advisory lock: one or none."""
_SILENCE: Final = {
    **{f"tcp_keepalives_{name}": value for name, value in KEEPALIVE.items()},
    "tcp_user_timeout": 1000 * SILENCE,
}
"""How the server notices that this machine is gone: by the last where an answer of its own is under
way, during which it asks for no sign of life."""


class Turn(Protocol):
    """The turn to run a search."""

    @property
    def is_taken(self) -> bool:
        """Whether another process has it, as far as that can be known."""

    @property
    def is_own(self) -> bool:
        """Whether this process has it, as far as that was known a moment ago: nobody is asked."""

    def check(self) -> None:
        """Make sure that this process has it, which is about to write.

        Raises:
            SQLAlchemyError: Whose it is cannot be known now.
            TurnTakenError: Another process has it.
        """

    def take(self, patience: float = 0.0) -> bool:
        """Take it; False where another process has it after so many seconds."""

    def give_back(self) -> None:
        """Let others have it."""


class FileTurn:
    """The turn to run a search whose study lies in a file of this machine's: a lock beside that.

    Args:
        database: The file.
        name: The search's name.
    """

    def __init__(self, database: Path, name: str) -> None:
        # Of all threads of this process: one of them notes the time.
        self._lock = FileLock(f"{database}-{name}.lock", thread_local=False)

    @property
    def is_taken(self) -> bool:
        """Whether another process has it."""
        return is_taken(self._lock)

    @property
    def is_own(self) -> bool:
        """Whether this process has it."""
        return bool(self._lock.is_locked)

    def check(self) -> None:
        """Nothing: no process loses the lock of a file."""

    def take(self, patience: float = 0.0) -> bool:
        """Take it; False where another process has it after so many seconds."""
        try:
            acquire(self._lock, patience)
        except Timeout:
            return False
        return True

    def give_back(self) -> None:
        """Let others have it."""
        self._lock.release()


class ServerTurn:
    """The turn to run a search whose study lies in PostgreSQL, as an advisory lock there.

    The lock belongs to a connection, so that the death of this process, or of its machine, gives it
    back. A server that is restarted forgets it: it is then taken again.

    Args:
        url: The study's storage.
        name: The search's name.
        on_loss: Called, in a thread, with the reason when another process has taken it meanwhile.
    """

    def __init__(self, url: str, name: str, on_loss: Callable[[str], None]) -> None:
        self._url, self._name, self._on_loss = url, name, on_loss
        digest = hashlib.sha256(f"resnet-tune search {name}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._engine = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=connect_args(url)
        )
        self._connection: Connection | None = None
        self._known_at = -math.inf
        self._look, self._ended = threading.Lock(), threading.Event()

    @property
    def is_taken(self) -> bool:
        """Whether a process has it, as far as the server says; a look takes it from none."""
        try:
            with self._engine.connect() as connection:
                return bool(connection.scalar(_HOLDER, {"key": self._key}))
        except SQLAlchemyError:
            return False

    @property
    def is_own(self) -> bool:
        """Whether this process has it, as far as that was known a moment ago: nobody is asked."""
        since = time.monotonic() - self._known_at
        return self._connection is not None and since < _SURE_SECONDS

    def check(self) -> None:
        """Make sure that this process has it, which is about to write.

        By the connection that it belongs to: while a server is away for this process alone, it
        gives the turn to another, and then whatever else is asked of it comes through at once.

        Raises:
            SQLAlchemyError: Whose it is cannot be known now.
            TurnTakenError: Another process has it.
        """
        if not self._holds():
            raise TurnTakenError("another process has the turn to run this search")

    def take(self, patience: float = 0.0) -> bool:
        """Take it; False where another process has it.

        Args:
            patience: Seconds for which that one is waited for.

        Raises:
            ConfigError: The storage cannot be used.
        """
        attempts = Retrying(
            retry=retry_if_result(not_),
            wait=wait_fixed(_ASK_SECONDS),
            stop=stop_after_delay(patience),
            retry_error_callback=lambda _: False,
        )
        try:
            if not attempts(self._try):
                return False
        except SQLAlchemyError as error:
            raise unusable(self._url, error) from error
        threading.Thread(target=self._keep, name="turn", daemon=True).start()
        return True

    def give_back(self) -> None:
        """Let others have it."""
        self._ended.set()
        self._let_go()

    def _try(self) -> bool:
        at, connection = time.monotonic(), self._engine.connect()
        try:
            for setting, value in _SILENCE.items():
                connection.execute(text(f"SET {setting} = {value}"))
            taken = bool(
                connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key})
            )
        except SQLAlchemyError:
            connection.close()
            raise
        if taken:
            self._connection, self._known_at = connection, at
        else:
            connection.close()
        return taken

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # it may be broken, or in another thread's hands
            connection.close()

    def _keep(self) -> None:
        """Take it again where the server has forgotten it, and say so where another keeps it.

        For as long as the server is away: what else of the study is needed may not be needed for
        longer than that.
        """
        missed = 0
        while not self._ended.wait(_AGAIN_SECONDS if missed else _LOOK_SECONDS):
            with suppress(SQLAlchemyError):
                missed = 0 if self._holds() else missed + 1
            if missed == _TRIES:
                self._ended.set()  # it is not taken again, whatever becomes of the other
                self._on_loss("another process, which runs this search now")

    def _holds(self) -> bool:
        """Whether it is this process's, as the server says; taken again where that forgot it.

        Raises:
            SQLAlchemyError: The server does not say.
        """
        with self._look:
            at = time.monotonic()
            try:
                if self._connection is None and not self._ended.is_set():
                    self._try()
                connection = self._connection
                if connection is None:
                    return False
                connection.execute(text("SELECT 1"))
            except SQLAlchemyError:
                self._let_go()
                raise
            self._known_at = at
        return True


def turn_for(url: str, name: str, on_loss: Callable[[str], None]) -> Turn | None:
    """The turn to run a search; None where its folder is the only way to its study.

    Raises:
        ConfigError: The storage is none in which one can be taken.
    """
    file = file_of(url)
    if file is not None and file.parent.is_dir() and url != OWN_STUDY:
        return FileTurn(file, name)
    if dialect_of(url) != "postgresql":
        return None
    try:
        return ServerTurn(url, name, on_loss)
    except (SQLAlchemyError, ImportError) as error:
        raise unusable(url, error) from error
