"""Names that others gave, as text that can be shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_JOINERS: Final = "\u200c\u200d"
"""What joins or parts letters and emoji, and is not printable by itself."""


def printable(text: str) -> str:
    """A text with what would do something instead of being shown written as an escape.

    That is line breaks, what a terminal takes for a command, marks that turn the direction of
    the writing around, and bytes of a file's name that are no UTF-8.
    """
    return "".join(
        each
        if each.isprintable() or each in _JOINERS
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def is_utf8(text: str) -> bool:
    """Whether a text holds no bytes that are none, as Python reads them in a file's name."""
    return not any("\udc80" <= each <= "\udcff" for each in text)


def shortened(text: str, width: int) -> str:
    """A text of at most `width` characters: its beginning and its end, where it is longer."""
    if len(text) <= width:
        return text
    end = (width - 1) // 3
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def listed(words: Iterable[str], most: int) -> str:
    """Words in a row, of which at most so many are named; of the others, how many they are."""
    every = list(words)
    more = len(every) - most
    return ", ".join([*every[:most], *([f"and {more:,} more"] if more > 0 else [])])
