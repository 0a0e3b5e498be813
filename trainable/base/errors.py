"""What errors say, for messages that pass it on."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]
