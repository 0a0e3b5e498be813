"""The errors for users: mistakes in a config, and searches that cannot go on; and exit codes."""

from __future__ import annotations

import errno
from typing import Final

from trainable.base.errors import first_line
from tune.base.passwords import masked

__all__ = [
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "MISTAKE",
    "ConfigError",
    "Halt",
    "SearchStoppedError",
    "first_line",
    "is_full",
    "squeeze",
    "without_space",
]

DONE: Final = 0
FAILED: Final = 1
MISTAKE: Final = 2
INTERRUPTED: Final = 130
"""Exit codes: done, failed, a mistake in the command or in the config, stopped by a signal."""

MOST_CHARACTERS = 900
"""The greatest length of a :class:`ConfigError`'s line."""


class ConfigError(ValueError):
    """A mistake in a config or a command, reported in one line: key, value, rule, nearest key."""

    def __init__(self, message: str) -> None:
        super().__init__(squeeze(masked(message), MOST_CHARACTERS))


class Halt(BaseException):
    """The search cannot go on now, and says why; `--resume` goes on with it.

    Not an Exception, so that it passes through Ray's loop, as Ctrl-C does.
    """

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class SearchStoppedError(RuntimeError):
    """The search cannot go on now, or has come to nothing, and says why.

    `tune.resume` goes on with it.
    """


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk is full, or a user's share of it."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def without_space(error: OSError) -> str:
    """What is said of what an error of a full disk has stopped."""
    return f"no space is left on the disk ({error}); make some"


def squeeze(value: object, width: int = 120) -> str:
    """A value as one line of at most `width` characters, of which a terminal obeys none."""
    text = " ".join(str(value)[: 10 * width].split())
    text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return text if len(text) <= width else text[: width - 1] + "…"
