"""The columns of the live table: as much of each trial as a terminal's width has room for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

GAP: Final = 2
"""Blanks between two columns."""
_WIDEST: Final = 16
"""The widest value that is shown where there is room."""
_NARROW: Final = 7
"""The width of a searched key's column where there is little."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        head: Its heading, which may have several lines.
        cells: Its values, a row each.
        key: The searched key whose values they are; empty of any other column.
        spare: Whether it is left out where there is little room: the greater, the sooner.
    """

    head: str
    cells: tuple[str, ...]
    key: str = ""
    spare: int = 0

    @property
    def width(self) -> int:
        """The blanks that it takes."""
        return max(map(cell_len, (*self.head.split("\n"), *self.cells)))


@dataclass(frozen=True)
class Layout:
    """What fits.

    Attributes:
        columns: Those that are shown.
        left_out: The names of the searched keys that are not.
    """

    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()

    @property
    def lines(self) -> int:
        """The lines of the headings."""
        return max(column.head.count("\n") + 1 for column in self.columns)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Each key without what it has in common with others: the shortest end that no other has."""

    def ends(key: str) -> Iterator[str]:
        parts = key.split(".")
        return (".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))

    def is_own(end: str, key: str) -> bool:
        return not any(f".{other}".endswith(f".{end}") for other in keys if other != key)

    return {key: next((end for end in ends(key) if is_own(end, key)), key) for key in keys}


def shown(value: Any, width: int = _WIDEST) -> str:
    """A value in so many columns: a number rounded, of a path the end, of other text the start."""
    if isinstance(value, float):
        return next(
            (text for text in (f"{value:.2g}", f"{value:.1g}") if len(text) <= width),
            f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e"),
        )
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = " ".join(text.split())
    if cell_len(text) <= width:
        return text
    name = text.rstrip("/").rpartition("/")[2]
    if name != text:
        return f"…{name[-(width - 1) :]}" if cell_len(name) >= width else f"…{name}"
    return _cut(text, width)


def fit(columns: Sequence[Column], values: Mapping[str, Sequence[Any]], width: int) -> Layout:
    """The columns of a table, as many and as wide as fit.

    First headings are broken into lines, then columns that can be spared are left out, then values
    are cut, and at last searched keys are left out: those that do not differ, then the last.

    Args:
        columns: Those that come before the searched keys.
        values: What is searched, by key: the value of each row, "" where it has none.
        width: That of the terminal.
    """
    layouts = [*_layouts(columns, values)]
    return next((each for each in layouts if _width(each.columns) <= width), layouts[-1])


def _layouts(columns: Sequence[Column], values: Mapping[str, Sequence[Any]]) -> Iterator[Layout]:
    """Layouts, each of which takes less room than the one before it."""
    names = short_names([*values])
    wide = [_column(key, values[key], names[key], _WIDEST) for key in values]
    yield Layout((*columns, *wide))
    broken = [_broken(column, _WIDEST) for column in wide]
    yield Layout((*columns, *broken))
    few = list(columns)
    for column in sorted((each for each in columns if each.spare), key=lambda one: -one.spare):
        few.remove(column)
        yield Layout((*few, *broken))
    narrow = [_broken(_column(key, values[key], names[key], _NARROW), _NARROW) for key in values]
    yield Layout((*few, *narrow))
    order = sorted(narrow, key=lambda column: len(set(column.cells)) < 2)  # those that differ first
    for count in range(len(order) - 1, -1, -1):
        kept = [column for column in narrow if column in order[:count]]
        left_out = (names[column.key] for column in narrow if column not in kept)
        yield Layout((*few, *kept), tuple(left_out))


def _column(key: str, values: Sequence[Any], head: str, width: int) -> Column:
    return Column(head, tuple(shown(value, width) for value in values), key)


def _broken(column: Column, widest: int) -> Column:
    """A column whose heading is broken after dots and underscores, to be as narrow as its cells."""
    pieces = [_cut(piece, widest) for piece in re.findall(r"[^._]+[._]?|[._]", column.head)]
    width = max([*map(len, pieces), *map(cell_len, column.cells)])
    lines = [""]
    for piece in pieces:
        if len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return Column("\n".join(lines), column.cells, column.key, column.spare)


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)
