"""Folders of files that are whole at any moment, whatever is killed."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Final

import fsspec

_NO_HARD_LINKS: Final = {
    errno.EPERM,  # exFAT and FAT
    errno.ENOTSUP,  # network disks
    errno.EOPNOTSUPP,
    errno.ENOSYS,  # FUSE
    errno.EACCES,  # Android
    errno.EXDEV,
    errno.EMLINK,  # the file has as many names as it can have
}


class Place:
    """A folder, in which a file is written aside and then renamed.

    So each file is the one before or the one after, never half of one. What a killed process had
    half written stands beside it, as `NAME.PROCESS-RANDOM.part`, until :meth:`clear_halves`.

    Args:
        folder: Made when something is written to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = fsspec.filesystem("file")

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return bool(self._files.isfile(self._path(name)))

    def names(self, pattern: str = "*") -> list[str]:
        """The names of what is here, in order, such as those that fit `*.pt`."""
        if not self._files.isdir(self._path()):
            return []
        found = (Path(path).name for path in self._files.ls(self._path(), detail=False))
        return sorted(name for name in found if fnmatch(name, pattern))

    def folders(self, pattern: str = "*") -> list[str]:
        """The names of the folders that are here, in order."""
        return sorted(path.name for path in self.folder.glob(pattern) if path.is_dir())

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            OSError: It cannot be read.
        """
        content: bytes = self._files.cat_file(self._path(name))
        return content

    def write(
        self, name: str, content: bytes, *, private: bool = False, durable: bool = False
    ) -> None:
        """Write a file, as :meth:`writing` does."""
        with self.writing(name, private=private, durable=durable) as file:
            file.write(content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one, and say whether it is this one: of several, one's is.

        Where it has this very content already, it is: what has made it may not have heard so.

        Raises:
            OSError: It cannot be written.
        """
        self._files.makedirs(self._path(), exist_ok=True)
        path = self._aside(name)
        try:
            path.write_bytes(content)
            self._files.link(str(path), self._path(name))
        except FileExistsError:
            return self.read(name) == content
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return self._create_alone(name, content)
        finally:
            path.unlink(missing_ok=True)
        return True

    @contextmanager
    def writing(
        self, name: str, *, private: bool = False, durable: bool = False
    ) -> Iterator[IO[bytes]]:
        """A file to write to, which takes its name when the block ends without an error.

        Args:
            name: The file's. One of this name is replaced.
            private: Whether it is its owner's alone to read.
            durable: Whether it must be on the disk before it takes its name, and its name before
                this ends, so that it is there and whole after a loss of power too.

        Raises:
            OSError: It cannot be written; one of this name is as it was.
        """
        with self.aside(name) as path:
            if private:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with self._files.open(str(path), "wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        if durable:
            _sync(self.folder)

    @contextmanager
    def aside(self, name: str, *, replace: bool = True) -> Iterator[Path]:
        """A path to make a file at, which takes its name when the block ends without an error.

        Args:
            name: The file's.
            replace: Whether one of this name is replaced; else that one stays and this one goes.

        Raises:
            OSError: It cannot take its name.
        """
        path = self._aside(name)
        self._files.makedirs(self._path(), exist_ok=True)
        try:
            yield path
            # Not fsspec's `mv`, which copies where it cannot rename.
            if replace:
                path.replace(self._path(name))
            else:
                self._take_name(path, name)
        finally:
            path.unlink(missing_ok=True)

    def link(self, name: str, second: str) -> None:
        """Give a file a second name, or copy it where the file system has no hard links.

        Either way, replacing one of the two leaves the other as it is.

        Args:
            name: The file's.
            second: The other name. A file of this name is replaced.

        Raises:
            OSError: It cannot be done; a file of the second name is as it was.
        """
        with self.aside(second) as path:
            try:
                self._files.link(self._path(name), str(path))
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                self._files.cp_file(self._path(name), str(path))

    def delete(self, *names: str) -> None:
        """Delete files, if they are there."""
        for name in names:
            with suppress(FileNotFoundError):
                self._files.rm_file(self._path(name))

    def clear_halves(self, *names: str, spare_running: bool = False) -> None:
        """Delete what killed processes had half written.

        Args:
            names: The names of the files; all, if none is given.
            spare_running: Whether other processes may be writing them just now, on this machine.
        """
        # What SQLite keeps beside its databases has a - and a word more.
        name = "|".join(map(re.escape, names)) or ".+"
        half = re.compile(rf"(?:{name})\.(\d{{1,9}})-[0-9a-f]{{8}}\.part(?:-\w+)?")
        for found in filter(None, map(half.fullmatch, self.names())):
            if not (spare_running and _is_running(int(found[1]))):
                self.delete(found.string)

    def _path(self, name: str = "") -> str:
        return str(self.folder.absolute() / name)

    def _aside(self, name: str) -> Path:
        # Two machines that share the folder may have processes of the same number.
        return self.folder.absolute() / f"{name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part"

    def _create_alone(self, name: str, content: bytes) -> bool:
        try:
            with Path(self._path(name)).open("xb") as file:
                file.write(content)
        except FileExistsError:
            return self.read(name) == content
        return True

    def _take_name(self, path: Path, name: str) -> None:
        try:
            self._files.link(str(path), self._path(name))  # fails where there is one
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if not self.exists(name):
                path.replace(self._path(name))


def is_file(path: Path) -> bool:
    """Whether a path is a file's; False also for what can be no path, such as a too long one."""
    with suppress(OSError, ValueError):
        return path.is_file()
    return False


def is_folder(path: Path) -> bool:
    """Whether a path is a folder's; False also for what can be no path."""
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False


def why_not_writable(path: Path) -> str | None:
    """Why no file can be written at a path, and no folder made; None where one can."""
    if path.is_dir():
        return "it is a folder"
    there = next(each for each in path.absolute().parents if each.exists())
    if not there.is_dir():
        return f"{there} is no folder"
    # Of root too: on a file system that is mounted to be read alone, nobody may.
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written"


def make_durable(folder: Path) -> None:
    """Have all that is in a folder on the disk, so that it is there after a loss of power too.

    Raises:
        OSError: It cannot be.
    """
    for path in (folder, *folder.rglob("*")):
        _sync(path)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
