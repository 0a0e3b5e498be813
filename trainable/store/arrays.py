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

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock
from torch import Tensor

from trainable.base.errors import first_line
from trainable.files.places import why_not_writable
from trainable.store.capacity import make_room, why_no_room
from trainable.store.chunks import Assembly, Chunks, Compute
from trainable.store.description import DATA, DESCRIPTION, read_description
from trainable.store.entries import (
    ACTIVATIONS,
    ASIDE,
    Entry,
    delete_unless_open,
    entries_in,
    folders_in,
    map_array,
    name_of,
)
from trainable.store.mapped import Mapped

DEFAULT_MAX_BYTES: Final = 20 * 10**9

Key = Mapping[str, str | int | float | bool]


def default_root() -> Path:
    """`TUNE_CACHE`, else a folder in the user's cache."""
    named = os.environ.get("TUNE_CACHE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "resnet-tune"


def open_store(root: Path | str | None, max_bytes: int) -> ArrayStore | None:
    """The store in `root`, or in :func:`default_root`; None if it may hold nothing."""
    return ArrayStore(Path(root) if root else default_root(), max_bytes) if max_bytes else None


class ArrayStore:
    """A store of arrays that the processes of a node share.

    Args:
        root: Its folder, made when it is needed.
        max_bytes: The greatest size, with what is open or being written. Above it, the entries
            that were opened longest ago are deleted, but for those that a process has open; an
            array that does not fit beside those is not cached.
        kind: What this is the greatest size of; a key says by its `kind` what it is counted with.
    """

    def __init__(
        self, root: Path, max_bytes: int = DEFAULT_MAX_BYTES, kind: str = ACTIVATIONS
    ) -> None:
        self.root, self.max_bytes, self.kind = root, max_bytes, kind
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
        found = self._found(key, chunks, lazily=False)
        return chunks.whole() if found is None else found.array

    def mapped(self, key: Key, chunks: Chunks) -> Mapped | None:
        """The same, of which only what is taken is read; None where it cannot be cached.

        Args:
            key: All that determines the array's bytes.
            chunks: Gives the array.
        """
        return self._found(key, chunks, lazily=True)

    def peek(self, entry: Entry, compute: Compute) -> Mapped | None:
        """An array that is there, of which only what is taken is read; else None.

        Args:
            entry: The array's.
            compute: Gives what is damaged of it.
        """
        with suppress(OSError, ValueError):
            content = read_description(entry.folder)
            chunks = Chunks(content.shape[0], content.chunk, compute)
            return self._open(entry.folder, entry.key, chunks, lazily=True)
        return None

    def holds(self, key: Key) -> bool:
        """Whether an array is there."""
        return (self.root / name_of(key)).is_dir()

    def why_no_room(self, size: int) -> str | None:
        """Why an array of so many bytes would not be cached now; None where it would."""
        unwritable = why_not_writable(self.root / ASIDE)
        return unwritable or why_no_room(self.root, self.kind, self.max_bytes, size)

    def entries(self) -> list[Entry]:
        """What is in the store, the most recently opened first."""
        return entries_in(self.root)

    def clear(self) -> int:
        """Delete every entry, damaged or not, that no process has open; return how many."""
        if not self.root.is_dir():
            return 0
        with self._lock():
            return sum(delete_unless_open(folder) for folder in folders_in(self.root))

    def _found(self, key: Key, chunks: Chunks, *, lazily: bool) -> Mapped | None:
        """The array if it is cached, or can be."""
        folder = self.root / name_of(key)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            found = self._open(folder, key, chunks, lazily=lazily)
            if found is None:
                if not self._writable:
                    raise OSError("the cache is read-only")
                self._add(folder, key, chunks)
                found = self._open(folder, key, chunks, lazily=lazily)
        except OSError as error:
            _warn(f"{self.root}: {error}; the array is computed and not cached")
            return None
        return found

    @property
    def _writable(self) -> bool:
        return os.access(self.root, os.W_OK)

    def _lock(self) -> AbstractContextManager[object]:
        """The lock on the store; nobody changes one that cannot be written."""
        return FileLock(self.root / "store.lock") if self._writable else nullcontext()

    def _open(self, folder: Path, key: Key, chunks: Chunks, *, lazily: bool) -> Mapped | None:
        """Map an entry, or None where there is none that is whole.

        Args:
            folder: The entry's.
            key: What determines the array.
            chunks: The array.
            lazily: Whether its checksums are compared when it is read, and not before.

        Raises:
            OSError: It cannot be opened now, by this process: it stays as it is.
        """
        try:
            identity = folder.stat().st_ino
        except FileNotFoundError:
            return None
        try:
            mapped, mark = self._map(folder, key, chunks, identity)
            if not lazily and mark not in self._verified:
                mapped.verify()
                self._verified.add(mark)
        except (ValueError, FileNotFoundError) as error:
            _warn(f"{folder} is damaged ({first_line(error)}); it is computed again")
            self._discard(folder, identity)
            return None
        return mapped

    def _map(
        self, folder: Path, key: Key, chunks: Chunks, identity: int
    ) -> tuple[Mapped, tuple[str, int]]:
        with self._lock():
            content = read_description(folder)
            asked = (dict(key), chunks.rows, chunks.size)
            if (content.key, content.shape[0], content.chunk) != asked:
                raise ValueError("it describes another array")
            array = map_array(folder / DATA, content)
            if self._writable:
                os.utime(folder / DESCRIPTION)
            mark = (folder.name, (folder / DATA).stat().st_mtime_ns)
        return Mapped(array, folder, chunks, lambda: self._discard(folder, identity)), mark

    def _discard(self, folder: Path, identity: int) -> None:
        """Delete a damaged entry, unless another process has replaced it meanwhile."""
        with self._lock(), suppress(OSError):
            if self._writable and folder.stat().st_ino == identity:
                shutil.rmtree(folder)

    def _add(self, folder: Path, key: Key, chunks: Chunks) -> None:
        """Compute an entry aside, and rename it into place when it is whole."""
        aside = folder.with_suffix(ASIDE)
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
        """Have room for so many bytes, and keep others out until the entry says that it has them.

        Raises:
            OSError: They cannot fit.
        """
        with self._lock():
            make_room(self.root, self.kind, self.max_bytes, own, size)
            yield


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
