"""What is raised for users: mistakes in a config, and searches that cannot go on."""

from __future__ import annotations

MOST_CHARACTERS = 900
"""In the line of a :class:`ConfigError`."""


class ConfigError(ValueError):
    """A mistake in a config or a command, reported in one line: key, value, rule, nearest key."""

    def __init__(self, message: str) -> None:
        super().__init__(squeeze(message, MOST_CHARACTERS))


class Halt(BaseException):
    """The search cannot go on now, and says why; `--resume` goes on with it.

    Not an Exception, so that it passes through Ray's loop, as Ctrl-C does.
    """


def first_line(error: BaseException) -> str:
    """What an error says, in a line: the first of its message, else its type."""
    return (str(error) or type(error).__name__).splitlines()[0]


def squeeze(value: object, width: int = 120) -> str:
    """A value as one line of at most `width` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"
