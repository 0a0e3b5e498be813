"""Images that lie elsewhere: copied to this machine once, and later only what has changed."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

import fsspec
from filelock import FileLock
from tenacity import RetryError

from trainable.data.forms.rows import TABLES
from trainable.data.forms.walking import is_hidden
from trainable.data.progress import Bar
from trainable.files.places import Place, is_file
from trainable.files.remote import asked_again
from trainable.runtime import COMMAND
from trainable.store.arrays import default_root
from trainable.store.entries import FILES

_AT_ONCE: Final = 256
"""Files that are fetched before it is noted that they are here."""
_MARKS: Final = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
"""What file systems say of a file that changes with its content, the surest first."""
_MANIFEST: Final = "manifest.json"
_LISTED: Final = "listed.json"
_COMMANDS: Final = 32
"""Commands of which it is known that they have listed a URL."""
_PATIENCE: Final = 30.0
"""Seconds for which a server is waited for: somebody may look on, and another machine reach it."""
_Result = TypeVar("_Result")

Marks = dict[str, list[Any]]
"""The size and mark of each file, by its path below the root."""


class DataAwayError(ValueError):
    """Where images lie elsewhere, that does not answer now; it may later, or to another machine."""


def folder_of(root: Path | str) -> Path:
    """The folder of this machine below which the files of a root lie, whether they are here or not.

    Args:
        root: A folder or a table, or the URL of such.
    """
    if isinstance(root, Path):
        return root.parent if is_file(root) else root
    url, _ = _folder_and_table(root)
    name = PurePosixPath(url.partition("://")[2]).name
    return _home(url) / (name if name not in {"", ".", ".."} else "images")


def fetched(root: Path | str) -> Path:
    """A folder or a table that is here; of a URL a copy, brought up to date.

    The URL is listed once a machine for all processes of a command (:data:`COMMAND`): the first of
    them does it, and the others take its word.

    Args:
        root: A path, or a URL that fsspec knows, such as `s3://bucket/photos`. With a table comes
            all of its folder.

    Raises:
        DataAwayError: It has not answered for a while.
        ValueError: It cannot be used, is empty, or does not fit the disk.
    """
    if isinstance(root, Path):
        return root
    url, table = _folder_and_table(root)
    home, folder = _home(url), folder_of(root)
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "lock"):
        _Fetch(url, home, folder).bring_up_to_date()
    return folder / table if table else folder


def is_fetched(root: Path | str) -> bool:
    """Whether there is a copy, perhaps an old one."""
    return isinstance(root, Path) or (folder_of(root).parent / _MANIFEST).is_file()


def _folder_and_table(url: str) -> tuple[str, str]:
    """The URL of a folder, and the name of the table in it; empty where none is named."""
    url = url.rstrip("/")
    if PurePosixPath(url).suffix.lower() not in TABLES:
        return url, ""
    folder, _, name = url.rpartition("/")
    return folder, name


def _home(url: str) -> Path:
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    return default_root() / FILES / name


class _Fetch:
    """A copy of what lies at a URL.

    Args:
        url: The URL.
        home: The folder of the copy, and of what is known of it.
        folder: The copy.
    """

    def __init__(self, url: str, home: Path, folder: Path) -> None:
        self._url, self._home, self._folder = url, Place(home), folder

    def bring_up_to_date(self) -> None:
        """Fetch what is new or has changed, and delete what is gone."""
        command, listed = os.environ.get(COMMAND), self._listed()
        if command in listed and self._is_whole():
            return
        self._compare()
        if command:
            known = [each for each in listed if each != command]
            self._home.write(_LISTED, json.dumps([*known, command][-_COMMANDS:]).encode())

    def _listed(self) -> list[str]:
        """The commands that have listed the URL on this machine, the last one last."""
        try:
            return [str(each) for each in json.loads(self._home.read(_LISTED))]
        except (OSError, ValueError, TypeError):
            return []

    def _compare(self) -> None:
        """List the URL, and take from it what the copy lacks."""
        try:
            files, base = fsspec.core.url_to_fs(self._url)
        except ImportError as error:
            raise ValueError(f"data.root={self._url}: {error}, with pip") from error
        except Exception as error:
            raise ValueError(self._unreachable(error)) from error
        listed = self._patiently(lambda: files.find(base, detail=True))
        found = {below: info for below, info in _below(listed, base) if below}
        if not found:
            raise ValueError(f"data.root={self._url} has no files: check its spelling")
        self._take(files, found)

    def _take(self, files: Any, found: Mapping[str, Mapping[str, Any]]) -> None:
        marks = {below: _mark(info) for below, info in found.items()}
        self._delete_all_but(found)
        here = self._here()
        wanted = [below for below in found if here.get(below) != marks[below]]
        self._check_room(sum(int(found[below].get("size") or 0) for below in wanted))
        with Bar(f"fetching {self._url}", len(wanted)) as bar:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                self._get(files, {below: found[below]["name"] for below in some})
                here |= {below: marks[below] for below in some}
                self._write(here)
                bar.more(len(some))
        self._write(marks)

    def _delete_all_but(self, found: Collection[str]) -> None:
        """Delete files of the copy that lie at the URL no longer, and folders that have none then.

        Also those of which it was never noted that they are here, and before others take their
        place: a folder may be called as a file was.
        """
        for folder, _, names in os.walk(self._folder, topdown=False):
            below = Path(folder).relative_to(self._folder)
            for name in names:
                if (below / name).as_posix() not in found:
                    Path(folder, name).unlink(missing_ok=True)
            with suppress(OSError):  # it is not empty
                Path(folder).rmdir()

    def _known(self) -> Marks:
        """What was fetched."""
        try:
            known: Marks = json.loads(self._home.read(_MANIFEST))
        except (OSError, ValueError):
            return {}
        return known

    def _here(self) -> Marks:
        """What of that is still there."""
        known = self._known()
        return {below: mark for below, mark in known.items() if (self._folder / below).is_file()}

    def _is_whole(self) -> bool:
        known = self._known()
        return bool(known) and all((self._folder / below).is_file() for below in known)

    def _write(self, marks: Marks) -> None:
        self._home.write(_MANIFEST, json.dumps(marks).encode())

    def _get(self, files: Any, names: Mapping[str, str]) -> None:
        """Fetch files, each of which is in its place when it is whole."""
        aside = self._home.folder / "aside"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        halves = {below: aside / str(number) for number, below in enumerate(names)}
        to = [str(half) for half in halves.values()]
        self._patiently(lambda: files.get(list(names.values()), to))
        for below, half in halves.items():
            place = self._folder / below
            place.parent.mkdir(parents=True, exist_ok=True)
            half.replace(place)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._home.folder).free
        if needed > free:
            raise ValueError(
                f"data.root={self._url}: {needed / 1e9:.1f} GB are to be fetched, and "
                f"{self._home.folder} has room for {free / 1e9:.1f} GB: free some, or name another "
                "folder by TUNE_CACHE"
            )

    def _patiently(self, action: Callable[[], _Result]) -> _Result:
        """Ask the server until it answers.

        Raises:
            DataAwayError: It has not for too long.
            ValueError: It refuses.
        """
        try:
            return asked_again(action, _PATIENCE)
        except RetryError as error:
            last = error.last_attempt.exception()
            raise DataAwayError(self._unreachable(last)) from last
        except Exception as error:
            raise ValueError(self._unreachable(error)) from error

    def _unreachable(self, error: BaseException | None) -> str:
        return (
            f"data.root={self._url} cannot be fetched ({type(error).__name__}: {error}): check its "
            "spelling, the network and your credentials"
        )


def _below(
    found: Mapping[str, Mapping[str, Any]], base: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The files that may be images or tables, by their paths below a folder."""
    start = base.rstrip("/") + "/"
    for name, info in found.items():
        below = PurePosixPath(name.removeprefix(start))
        if not name.startswith(start) or below.is_absolute() or ".." in below.parts:
            continue  # which would be written elsewhere
        if not any(map(is_hidden, below.parts)) and _may_be_wanted(below):
            yield str(below), info


def _may_be_wanted(path: PurePosixPath) -> bool:
    kind = mimetypes.guess_type(path.name)[0] or "image/"
    return path.suffix.lower() in TABLES or kind.startswith("image/")


def _mark(info: Mapping[str, Any]) -> list[Any]:
    return [info.get("size"), next((str(info[key]) for key in _MARKS if info.get(key)), "")]
