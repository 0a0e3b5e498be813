"""Arrays on disk, named by all that determines them: computed once on a node, then mapped.

An entry is a folder with the raw bytes, their checksums and their description. It is computed
aside, by all processes that ask for it together, and renamed into place, so that it is whole
or not there. Its checksums are compared when a process first opens it. It is mapped, so that
processes share its pages. Whatever goes wrong with an entry, the array is computed: the store
can only ever save time.

A lock on the store is held for moments, while entries come, go or are opened. A process that
has an entry open, or computes it, holds a shared lock on its data, which keeps it from being
deleted for room (:mod:`trainable.store.entries`). All locks are the system's own, and end with
the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from torch import Tensor

from trainable.errors import first_line
from trainable.store.chunks import Assembly, Chunks, verify
from trainable.store.description import DATA, DESCRIPTION, read_description
from trainable.store.entries import (
    delete_unless_open,
    is_damaged,
    is_open,
    map_array,
    promised,
)

DEFAULT_MAX_BYTES: Final = 20 * 10**9
_ASIDE: Final = ".part"

Key = Mapping[str, str | int | float | bool]


def default_root() -> Path:
    """`TUNE_CACHE`, else a folder in the user's cache."""
    named = os.environ.get("TUNE_CACHE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "resnet-tune"


def open_store(root: Path | str | None, max_bytes: int) -> ArrayStore | None:
    """The store in `root`, or in :func:`default_root`; None if it may hold nothing."""
    return ArrayStore(Path(root) if root else default_root(), max_bytes) if max_bytes else None


@dataclass(frozen=True)
class Entry:
    """An array in the store.

    Attributes:
        folder: Where it lies.
        key: What determines it.
        size: The bytes of its data.
        used: The time when it was last opened, in seconds since 1970.
    """

    folder: Path
    key: dict[str, Any]
    size: int
    used: float


class ArrayStore:
    """A store of arrays that the processes of a node share.

    Args:
        root: Its folder, made when it is needed.
        max_bytes: The greatest size, with what is open or being written. Above it, the entries
            that were opened longest ago are deleted, but for those that a process has open; an
            array that does not fit beside those is not cached.
    """

    def __init__(self, root: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.root, self.max_bytes = root, max_bytes
        self._verified: set[tuple[str, int]] = set()

    def get(self, key: Key, chunks: Chunks) -> Tensor:
        """The array that `key` determines: mapped if it is cached, else computed and cached.

        Processes that ask at once compute it together, each chunk once.

        Args:
            key: All that determines the array's bytes.
            chunks: Gives the array.

        Returns:
            The array, on the CPU. What is written to it stays in this process.
        """
        folder = self.root / _name(key)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            found = self._open(folder, key, chunks)
            if found is None:
                if not self._writable:
                    raise OSError("the cache is read-only")
                self._add(folder, key, chunks)
                found = self._open(folder, key, chunks)
        except OSError as error:
            _warn(f"{self.root}: {error}; the array is computed and not cached")
            found = None
        return chunks.whole() if found is None else found

    def entries(self) -> list[Entry]:
        """What is in the store, the most recently opened first."""
        found = []
        for folder in self._folders():
            with suppress(OSError, ValueError):
                content, used = read_description(folder), (folder / DESCRIPTION).stat().st_mtime
                found.append(Entry(folder, content.key, content.size, used))
        return sorted(found, key=lambda entry: -entry.used)

    def clear(self) -> int:
        """Delete every entry, damaged or not, that no process has open; return how many."""
        if not self.root.is_dir():
            return 0
        with self._lock():
            return sum(delete_unless_open(folder) for folder in self._folders())

    def _folders(self) -> list[Path]:
        """The folders of the entries."""
        there = self.root.glob("*/")
        return [folder for folder in there if folder.is_dir() and folder.suffix != _ASIDE]

    @property
    def _writable(self) -> bool:
        return os.access(self.root, os.W_OK)

    def _lock(self) -> AbstractContextManager[object]:
        """The lock on the store; nobody changes one that cannot be written."""
        return FileLock(self.root / "store.lock") if self._writable else nullcontext()

    def _open(self, folder: Path, key: Key, chunks: Chunks) -> Tensor | None:
        """Map an entry, or None where there is none that is whole.

        Raises:
            OSError: It cannot be opened now, by this process: it stays as it is.
        """
        try:
            identity = folder.stat().st_ino
        except FileNotFoundError:
            return None
        try:
            return self._map(folder, key, chunks)
        except (ValueError, FileNotFoundError) as error:
            _warn(f"{folder} is damaged ({first_line(error)}); it is computed again")
            self._discard(folder, identity)
            return None

    def _map(self, folder: Path, key: Key, chunks: Chunks) -> Tensor:
        with self._lock():
            content = read_description(folder)
            asked = (dict(key), chunks.rows, chunks.size)
            if (content.key, content.shape[0], content.chunk) != asked:
                raise ValueError("it describes another array")
            array = map_array(folder / DATA, content)
            if self._writable:
                os.utime(folder / DESCRIPTION)
            mark = (folder.name, (folder / DATA).stat().st_mtime_ns)
        if mark not in self._verified:
            verify(array, folder, content.chunk)
            self._verified.add(mark)
        return array

    def _discard(self, folder: Path, identity: int) -> None:
        """Delete a damaged entry, unless another process has replaced it meanwhile."""
        with self._lock(), suppress(OSError):
            if self._writable and folder.stat().st_ino == identity:
                shutil.rmtree(folder)

    def _add(self, folder: Path, key: Key, chunks: Chunks) -> None:
        """Compute an entry aside, and rename it into place when it is whole."""
        aside = folder.with_suffix(_ASIDE)
        with self._lock():
            if folder.is_dir():
                return
            assembly = Assembly(aside, key, chunks, lambda size: self._room(aside, size))
        try:
            with assembly:
                assembly.run()
                with self._lock():
                    if not folder.is_dir():
                        aside.rename(folder)
        except OSError:
            with self._lock():
                delete_unless_open(aside)
            raise

    @contextmanager
    def _room(self, own: Path, size: int) -> Iterator[None]:
        """Delete what was opened longest ago until `size` more bytes fit, and keep others out.

        Until the block ends, in which the entry says how large it will be: what is being written
        counts in full from then on.

        Args:
            own: Where the bytes are to be written.
            size: How many they are.

        Raises:
            OSError: They cannot fit.
        """
        if size > self.max_bytes:
            raise OSError(f"an array of {size:,} bytes is over the cap of {self.max_bytes:,}")
        with self._lock():
            total = size
            for folder in self.root.glob(f"*{_ASIDE}"):
                if folder != own and not delete_unless_open(folder):  # of a killed process
                    total += promised(folder)
            for folder in filter(is_damaged, self._folders()):
                delete_unless_open(folder)
            entries = self.entries()
            total += sum(entry.size for entry in entries)
            free = [entry for entry in reversed(entries) if not is_open(entry.folder)]
            if total - sum(entry.size for entry in free) > self.max_bytes:
                raise OSError(
                    f"an array of {size:,} bytes does not fit beside what is in use: the cap is "
                    f"{self.max_bytes:,}"
                )
            for entry in free:
                if total > self.max_bytes and delete_unless_open(entry.folder):
                    total -= entry.size
            yield


def _name(key: Key) -> str:
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:32]


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
