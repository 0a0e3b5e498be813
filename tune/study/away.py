"""A storage that is away stops a search as a full disk does, for now; a job waits for its study."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
)

from trainable.base.errors import first_line
from trainable.files.remote import StorageAwayError
from tune.base.errors import ConfigError, Halt

_REFUSED: Final = re.compile(
    r"authentication|no password|pg_hba|does not exist|access denied", re.I
)
"""In what a server says that is there, and will say so again."""
_Result = TypeVar("_Result")


@contextmanager
def halting(errors: type[OSError] = StorageAwayError) -> Iterator[None]:
    """Have a storage that is away for too long, or that refuses, halt the search.

    At the request itself where Ray calls it: of what is no Halt, Ray makes an error of its own.

    Args:
        errors: What says so; of a folder that a network has, any may.

    Raises:
        Halt: It is away.
    """
    try:
        yield
    except errors as error:
        raise Halt(first_line(error)) from error


def waited_for(look: Callable[[], _Result], patience: float, say: Callable[[str], None]) -> _Result:
    """What is found in a study whose server is waited for while it is away.

    Args:
        look: Looks there.
        patience: Seconds for which it is waited for.
        say: Says once that it is, and why.

    Raises:
        ConfigError: It has been away for longer, or the study cannot be used.
    """

    def tell(attempt: RetryCallState) -> None:
        if attempt.attempt_number == 1 and attempt.outcome is not None:
            say(f"{attempt.outcome.exception()}; it is waited for, {patience:g} s long")

    attempts = Retrying(
        retry=retry_if_exception(_is_away),
        wait=wait_exponential(multiplier=0.1, max=5),
        stop=stop_after_delay(patience),
        before_sleep=tell,
        reraise=True,
    )
    return attempts(look)


def _is_away(error: BaseException) -> bool:
    """Whether a study cannot be used because its server is not there, and may be again."""
    from sqlalchemy.exc import InterfaceError, OperationalError  # only where something failed

    cause: BaseException | None = error if isinstance(error, ConfigError) else None
    while cause is not None and not isinstance(cause, InterfaceError | OperationalError):
        cause = cause.__cause__
    return cause is not None and _REFUSED.search(str(cause)) is None
