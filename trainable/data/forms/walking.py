"""The files in a folder and below it, less what systems and tools leave there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from trainable.base.text import listed, printable

HIDDEN: Final = "hidden"
NO_IMAGE: Final = "no images"
DEAD: Final = "linked to nothing"
CIRCULAR: Final = "linked in a circle, or twice"
BESIDE: Final = "beside the class folders"
"""Why something is left out, before its number."""

OnError = Callable[[ValueError], None]
"""What is told of a folder that cannot be read."""

_SHOWN: Final = 5
"""Names that are shown for each reason."""
_SYSTEMS_OWN: Final = {
    *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    *("@eadir", "$recycle.bin", "system volume information", "lost+found"),
}
"""What systems leave in folders, in lower case; all else of theirs begins with a dot."""


class LeftOut:
    """What is left out of a source, and why.

    Args:
        root: The source's folder, which the names of what is left out begin in.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: dict[str, dict[Path, str]] = {}

    def add(self, reason: str, path: Path, detail: str = "") -> None:
        """Leave a file or folder out, for a reason that may be told in detail."""
        self._found.setdefault(reason, {})[path] = detail

    @property
    def count(self) -> int:
        """How many files and folders are left out."""
        return sum(map(len, self._found.values()))

    @property
    def notes(self) -> tuple[str, ...]:
        """How many for which reason, and the first of each, in one line if there are any."""
        told = [
            f"{why}: {len(found):,} ({self._names(found)})" for why, found in self._found.items()
        ]
        return (f"left out: {'; '.join(told)}",) if told else ()

    def _names(self, found: Mapping[Path, str]) -> str:
        names = (
            printable(os.path.relpath(path, self._root)) + (detail and f": {detail}")
            for path, detail in found.items()
        )
        return listed(names, _SHOWN)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is of a system or a tool: `.ipynb_checkpoints`, `._photo.jpg`."""
    return name.startswith(".") or name.casefold() in _SYSTEMS_OWN


def fail(error: ValueError) -> None:
    """Take no folder that cannot be read for an empty one."""
    raise error


def walk(folder: Path, left_out: LeftOut, on_error: OnError = fail) -> Iterator[Path]:
    """All files in a folder and those below, in the order of their paths; links are followed.

    Args:
        folder: The folder.
        left_out: Gets what is hidden, links to nothing, folders that were read already, and links
            to a folder that this one lies in.
        on_error: Is told of each folder that cannot be read, before the others are; by default it
            raises the error.

    Raises:
        ValueError: A folder cannot be read.
    """
    above = {*folder.absolute().parents, *folder.resolve().parents}
    return _walk(folder, left_out, {_identity(each) for each in above}, on_error)


def folders_in(folder: Path, left_out: LeftOut) -> list[Path]:
    """The folders in a folder, by name, less those of systems and tools.

    Raises:
        ValueError: The folder cannot be read.
    """
    found = []
    for entry in _entries(folder):
        if entry.is_dir() and not is_hidden(entry.name):
            found.append(Path(entry.path))
        elif entry.is_dir():
            left_out.add(HIDDEN, Path(entry.path))
        elif entry.is_symlink() and not entry.is_file():
            left_out.add(DEAD, Path(entry.path))
    return found


def _walk(
    folder: Path, left_out: LeftOut, read: set[tuple[int, int]], on_error: OnError
) -> Iterator[Path]:
    identity = _identity(folder)
    if identity in read:
        left_out.add(CIRCULAR, folder)
        return
    read.add(identity)
    try:
        entries = _entries(folder)
    except ValueError as error:
        on_error(error)
        return
    for entry in entries:
        path = Path(entry.path)
        if is_hidden(entry.name):
            left_out.add(HIDDEN, path)
        elif entry.is_dir():
            yield from _walk(path, left_out, read, on_error)
        elif entry.is_file():
            yield path
        elif entry.is_symlink():
            left_out.add(DEAD, path)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be read ({error.strerror}): give yourself the right to, or move it "
            "away"
        ) from error
