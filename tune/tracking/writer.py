"""A thread that keeps the record up to date with the ledger.

The search need not wait for MLflow, whose first database takes seconds to make, nor break when
its server does: what is not written yet is written later, from the ledger, in order. MLflow is
imported by that thread, while the first trials start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from tune.base.errors import first_line
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.trial import TrialLog
from tune.tracking.patience import GivenUpError, Patience

if TYPE_CHECKING:
    from tune.tracking.record import SearchRecord

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_LOOK = 0.5
"""Seconds after which it is looked again whether MLflow still answers."""


class RecordWriter:
    """Follows ledgers, and writes the record of their search.

    It opens the record when the first trial starts: until then, the processes that start have
    the CPUs to themselves.

    Args:
        search: The search.
        ledgers: Its ledgers. More may be added.
        at_start: Makes the files that the record has from the beginning.

    Attributes:
        started: Whether a trial has started, and so there is something to write.
    """

    def __init__(
        self,
        search: Search,
        *ledgers: Ledger,
        at_start: Callable[[], Sequence[Path]] = tuple,
    ) -> None:
        self._search, self.ledgers = search, list(ledgers)
        self._at_start: Callable[[], Sequence[Path]] | None = at_start
        self._wake = threading.Condition()
        self._news = self._closing = self.started = False
        self._error: str | None = None
        self._patience = Patience()
        self._closed = 0
        self._record: SearchRecord | None = None
        self._thread = threading.Thread(target=self._follow, name="record", daemon=True)
        self._thread.start()

    def changed(self, trial: TrialLog) -> None:
        """There is something to write."""
        with self._wake:
            self._news = self.started = True
            self._wake.notify()

    def finish(self, within: float | None = None) -> SearchRecord:
        """Wait until all is written; returns the record.

        Args:
            within: Seconds to wait for; by default as long as MLflow answers now and then, and the
                search's patience once it does not.

        Raises:
            UnrecordedError: There is something that cannot be written.
        """
        with self._wake:
            self._news = self._closing = True
            self._wake.notify()
        if within is None:
            self._patience.limit(self._search.config.tracking.patience)
        else:
            self._patience.limit(within, within)
        while self._thread.is_alive() and not self._patience.is_exhausted:
            self._thread.join(_LOOK)
        if self._thread.is_alive() or self._record is None:
            self._patience.give_up()
            raise UnrecordedError(self._missing())
        return self._record

    def _missing(self) -> str:
        """What is not recorded, and why."""
        trials = sum(len(ledger.trials) for ledger in self.ledgers)
        closed = self._closed if self._record is None else self._record.closed
        return (
            f"MLflow has not recorded all of {trials - closed} of {trials} trials, nor the model: "
            f"{self._reason()}"
        )

    def _reason(self) -> str:
        from tune.tracking.client import why

        if self._error is not None:
            return self._error
        failed = self._patience.error
        return why(failed) if failed is not None else "it does not answer"

    def _follow(self) -> None:
        try:
            while self._has_news():
                self._write_patiently()
        except GivenUpError:
            self._record = None
        except Exception as error:  # noqa: BLE001 - whatever it is, the record is not complete
            self._error = f"{type(error).__name__}: {first_line(error)}"
            self._record = None

    def _has_news(self) -> bool:
        """Wait for something to write; False once there will be nothing more."""
        with self._wake:
            while not self._news and not self._closing:
                self._wake.wait()
            news, self._news = self._news, False
            return news

    def _write_patiently(self) -> None:
        """Write what is new, again and again while MLflow is away, until it is given up."""
        from tune.tracking.client import FAILURES  # with MLflow: only once a trial has started

        attempts = Retrying(
            retry=retry_if_exception_type(FAILURES),
            wait=wait_exponential(_FIRST_PAUSE, max=_LONGEST_PAUSE),
            stop=lambda _: self._patience.is_exhausted,
            after=self._fail,
            retry_error_callback=lambda _: None,
        )
        attempts(self._write)

    def _write(self) -> None:
        from tune.tracking.record import SearchRecord

        if self._record is None:
            self._record = SearchRecord(self._search, self._patience)
        if self._at_start is not None:
            self._record.log_files(self._at_start())
            self._at_start = None
        for ledger in list(self.ledgers):
            self._record.sync(ledger)
        self._error = None

    def _fail(self, attempt: RetryCallState) -> None:
        """Note why an attempt failed. What it asked may have been done or not: look it up again."""
        from tune.tracking.client import why

        assert attempt.outcome is not None
        error = attempt.outcome.exception()
        assert error is not None
        self._error = why(error)
        if self._record is not None:
            self._closed = self._record.closed
        self._record = None


class UnrecordedError(Exception):
    """There is something that MLflow has not recorded."""
