"""How long MLflow is waited for: as long as it answers now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

_Result = TypeVar("_Result")


class GivenUpError(Exception):
    """Nobody waits for MLflow any more."""


class Patience:
    """How long MLflow is waited for: by default for ever.

    Attributes:
        error: Why the last request failed, if it did.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._given_up = False
        self._seconds = self._until = float("inf")
        self._answered = time.monotonic()

    def give_up(self) -> None:
        """Send nothing more: whoever waited has gone on, and may write the same by another way."""
        self._given_up = True

    def check(self) -> None:
        """Whether a request may be sent.

        Raises:
            GivenUpError: It may not.
        """
        if self._given_up:
            raise GivenUpError

    def limit(self, seconds: float, within: float = float("inf")) -> None:
        """Wait no longer than so many seconds without an answer, nor than so many in all."""
        self._answered = time.monotonic()
        self._seconds, self._until = seconds, self._answered + within

    @property
    def is_exhausted(self) -> bool:
        """Whether MLflow has been waited for long enough."""
        if self._given_up:
            return True
        now = time.monotonic()
        return now > self._until or now - self._answered > self._seconds

    def ask(
        self, request: Callable[[], _Result], is_passing: Callable[[BaseException], bool]
    ) -> _Result:
        """Send a request, again and again while it fails for a reason that may pass."""

        def send() -> _Result:
            self.check()
            return request()

        attempts = Retrying(
            retry=retry_if_exception(is_passing),
            wait=wait_exponential(_FIRST_PAUSE, max=_LONGEST_PAUSE),
            stop=lambda _: self.is_exhausted,
            after=self._note,
            reraise=True,
        )
        result = attempts(send)
        self._answered, self.error = time.monotonic(), None
        return result

    def _note(self, attempt: RetryCallState) -> None:
        assert attempt.outcome is not None
        self.error = attempt.outcome.exception()
