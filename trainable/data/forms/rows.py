"""The rows of a table in a file: CSV, TSV, Parquet or JSON lines, each cell as text."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, TextIO

from trainable.base.text import is_utf8, printable

_SHOWN: Final = 5
"""Mistakes that are named."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        where: Its place as a person finds it, such as `line 3`.
        cells: What it holds by the name of the column, in lower case: text, or a tuple of texts
            where the file holds a list. What is missing is empty text.
    """

    where: str
    cells: Mapping[str, str | tuple[str, ...]]

    def text(self, column: str) -> str:
        """A cell as text; a list with bars between."""
        cell = self.cells.get(column, "")
        return cell if isinstance(cell, str) else "|".join(cell)


class Mistakes:
    """What is wrong with a table, all of which is told at once.

    Args:
        path: The table's file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._found = path, list[str]()

    def add(self, row: Row, what: str) -> None:
        """Add what is wrong with a row."""
        self._found.append(f"{row.where}: {what}")

    def check(self) -> None:
        """Check that there are none.

        Raises:
            ValueError: There are.
        """
        if self._found:
            more = len(self._found) - _SHOWN
            rest = f"; and {more} more" if more > 0 else ""
            raise ValueError(f"data.root={self._path}: {'; '.join(self._found[:_SHOWN])}{rest}")


def read_rows(path: Path) -> list[Row]:
    """The rows of a table's file, by the ending of its name.

    Raises:
        ValueError: It is no table, or a row is not like the others.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"data.root={path}: a table must be one of {', '.join(_READERS)}; name it so, or "
            "convert it"
        )
    try:
        return list(reader(path))
    except UnicodeDecodeError as error:
        if reader is _read_separated and (rows := _with_odd_paths(path)):
            return rows
        raise ValueError(f"data.root={path} is no UTF-8 ({error}): save it as UTF-8") from error
    except OSError as error:
        raise ValueError(f"data.root={path} cannot be read ({error.strerror or error})") from error


def _with_odd_paths(path: Path) -> list[Row]:
    """The rows of a table in which nothing is no UTF-8 but names of files, which are there so.

    Systems allow any bytes in a name. Empty if anything else is none: it is in another encoding.
    """
    try:
        rows = list(_read_separated(path, errors="surrogateescape"))
    except ValueError:  # of which nothing can be told in another encoding
        return []
    for row in rows:
        odd = [name for name in row.cells if not is_utf8(row.text(name))]
        if odd and (odd != ["path"] or not (path.parent / row.text("path")).is_file()):
            return []
    return rows


def _read_separated(path: Path, errors: str = "strict") -> Iterator[Row]:
    mistakes = Mistakes(path)
    with path.open(newline="", encoding="utf-8-sig", errors=errors) as file:
        header, rows = _header(path, file)
        for number, cells in rows:
            row = Row(f"line {number}", dict(zip(header, map(str.strip, cells), strict=False)))
            if len(cells) != len(header):
                mistakes.add(row, f"{len(cells)} cells, and {len(header)} columns are named above")
            yield row
    mistakes.check()


def _header(path: Path, file: TextIO) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the other rows with the numbers of their lines."""
    first = file.readline()
    # A spreadsheet separates by semicolons where the comma is a decimal mark.
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    reader = csv.reader(chain([first], file), delimiter=delimiter)

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            for cells in reader:
                if any(cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            raise ValueError(f"data.root={path}: line {reader.line_num}: {error}") from error

    found = rows()
    _, header = next(found, (0, []))
    names = [name.strip().lower() for name in header]
    _check_unlike(path, names)
    return names, found


def _check_unlike(path: Path, names: Sequence[str]) -> None:
    """Check that no two columns have one name, of which the last would be read alone.

    Raises:
        ValueError: Two do.
    """
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ValueError(
            f"data.root={path} has {names.count(twice[0])} columns that are called "
            f"{printable(twice[0])}, whose case means nothing: rename or remove all but one"
        )


def _read_json_lines(path: Path) -> Iterator[Row]:
    mistakes = Mistakes(path)
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except ValueError as error:
                mistakes.add(Row(f"line {number}", {}), f"no JSON ({error})")
                continue
            if isinstance(content, dict):
                row = Row(f"line {number}", _cells(content))
                if len(row.cells) < len(content):
                    mistakes.add(row, "two keys differ in case alone: rename or remove one")
                yield row
            else:
                mistakes.add(Row(f"line {number}", {}), 'must be like {"path": ..., "label": ...}')
    mistakes.check()


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415, a tenth of a second that the other forms need not wait
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"data.root={path} is no Parquet file ({error})") from error
    _check_unlike(path, [str(name).strip().lower() for name in table.column_names])
    for number, content in enumerate(table.to_pylist(), 1):
        yield Row(f"row {number}", _cells(content))


def _cells(content: Mapping[str, Any]) -> dict[str, str | tuple[str, ...]]:
    return {str(name).strip().lower(): _cell(value) for name, value in content.items()}


def _cell(value: object) -> str | tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(str(_cell(each)) for each in value)
    if value is None or value != value:  # noqa: PLR0124, which only NaN is not equal to
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # so a column of whole numbers with gaps is written
    return str(value).strip()


_READERS: Final[dict[str, Callable[[Path], Iterator[Row]]]] = {
    ".csv": _read_separated,
    ".tsv": _read_separated,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}
TABLES: Final = tuple(_READERS)
"""The endings of a table's file, in lower case."""
