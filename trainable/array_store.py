"""Arrays on disk, named by all that determines them: computed once on a node, then mapped.

An entry is a folder with the raw bytes and their description. It is written aside and
renamed into place, so that it is whole or not there. Its checksum is compared when a process
first opens it. It is mapped, so that processes share its pages. Whatever goes wrong with an
entry, the array is computed: the store can only ever save time.

Two kinds of lock: one per entry, held while it is computed, so that others wait for it; and
one for the store, held for moments while entries come, go or are opened. A process that has
an entry open holds a shared lock on its data, which keeps it from being deleted for room.
All are the system's own, and end with the process.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from filelock import FileLock
from torch import Tensor

DEFAULT_MAX_BYTES: Final = 20 * 10**9
_DATA, _DESCRIPTION = "data", "entry.json"
_DTYPES: Final = {"uint8": torch.uint8, "float32": torch.float32, "bfloat16": torch.bfloat16}

Key = Mapping[str, str | int | float | bool]
Compute = Callable[[], Iterable[Tensor]]


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
        size: Bytes of its data.
        used: When it was last opened, in seconds since 1970.
    """

    folder: Path
    key: dict[str, Any]
    size: int
    used: float


class ArrayStore:
    """A store of arrays that the processes of a node share.

    Args:
        root: Its folder, made when it is needed.
        max_bytes: Above this, the entries that were opened longest ago are deleted, but for
            those that a process has open.
    """

    def __init__(self, root: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.root, self.max_bytes = root, max_bytes
        self._verified: set[tuple[str, int]] = set()

    def get(self, key: Key, rows: int, compute: Compute) -> Tensor:
        """The array that `key` determines: mapped if it is there, else computed and kept.

        Of several processes that ask at once, one computes and the others wait for it.

        Args:
            key: All that determines the array's bytes.
            rows: Length of its first dimension.
            compute: Gives the array in parts, along its first dimension.

        Returns:
            The array, on the CPU. What is written to it stays in this process.
        """
        folder = self.root / _name(key)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                found = self._open(folder)
                if found is None:
                    self._add(folder, key, rows, compute)
                    found = self._open(folder)
        except OSError as error:
            _warn(f"{self.root}: {error}; the array is computed and not kept")
            found = None
        return torch.cat(list(compute())) if found is None else found

    def entries(self) -> list[Entry]:
        """What is in the store, the most recently opened first."""
        found = []
        for description in self.root.glob(f"*/{_DESCRIPTION}"):
            with suppress(OSError, ValueError, KeyError):
                content = json.loads(description.read_text())
                used = description.stat().st_mtime
                found.append(Entry(description.parent, content["key"], content["size"], used))
        return sorted(found, key=lambda entry: -entry.used)

    def clear(self) -> int:
        """Delete every entry that no process has open, and return how many those were."""
        if not self.root.is_dir():
            return 0
        with self._lock():
            return sum(_delete_unless_open(entry.folder) for entry in self.entries())

    def _lock(self) -> FileLock:
        return FileLock(self.root / "store.lock")

    def _open(self, folder: Path) -> Tensor | None:
        """Map an entry, or None where there is none that is whole."""
        if not folder.is_dir():
            return None
        try:
            with self._lock():
                content = json.loads((folder / _DESCRIPTION).read_text())
                array = _map(folder / _DATA, content)
                os.utime(folder / _DESCRIPTION)
                mark = (folder.name, (folder / _DATA).stat().st_mtime_ns)
            if mark not in self._verified:
                _verify(array, content["checksum"])
                self._verified.add(mark)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            _warn(f"{folder} is damaged ({error}); it is computed again")
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return array

    def _add(self, folder: Path, key: Key, rows: int, compute: Compute) -> None:
        """Write an entry aside, and rename it into place when it is whole."""
        aside = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.root))
        try:
            with (aside / _DATA).open("wb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                description = self._write(file, rows, compute)
            text = json.dumps({"key": dict(key), **description})
            (aside / _DESCRIPTION).write_text(text)
            with self._lock():
                aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _write(self, file: Any, rows: int, compute: Compute) -> dict[str, Any]:
        """Write the parts as they come; returns what describes them."""
        checksum, size, part = 0, 0, None
        for part in compute():
            if size == 0:
                self._make_room(rows * _bytes_of(part[:1]).nbytes)
            content = _bytes_of(part)
            file.write(content)
            checksum, size = zlib.crc32(content, checksum), size + content.nbytes
        assert part is not None, "an array has at least one part"
        dtype = str(part.dtype).removeprefix("torch.")
        shape = [rows, *part.shape[1:]]
        return {"dtype": dtype, "shape": shape, "size": size, "checksum": checksum}

    def _make_room(self, size: int) -> None:
        """Delete what was opened longest ago until `size` more bytes fit.

        Raises:
            OSError: They cannot fit.
        """
        if size > self.max_bytes:
            raise OSError(f"an array of {size:,} bytes is over the cap of {self.max_bytes:,}")
        with self._lock():
            for folder in self.root.glob("tmp-*"):  # of processes that were killed
                if (folder / _DATA).exists():
                    _delete_unless_open(folder)
            entries = self.entries()
            total = size + sum(entry.size for entry in entries)
            for entry in reversed(entries):
                if total > self.max_bytes and _delete_unless_open(entry.folder):
                    total -= entry.size


def _name(key: Key) -> str:
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:32]


def _bytes_of(array: Tensor) -> memoryview:
    return array.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _map(path: Path, content: Mapping[str, Any]) -> Tensor:
    """Map an array, and hold a shared lock on its data for as long as it lives."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        shape, dtype = content["shape"], _DTYPES[content["dtype"]]
        flat = torch.from_file(str(path), shared=False, size=math.prod(shape), dtype=dtype)
    except BaseException:
        os.close(descriptor)
        raise
    array = flat.view(shape)
    weakref.finalize(array, os.close, descriptor)
    return array


def _verify(array: Tensor, checksum: int) -> None:
    found = zlib.crc32(_bytes_of(array))
    if found != checksum:
        raise ValueError(f"its checksum is {found:08x}, not {checksum:08x}")


def _delete_unless_open(folder: Path) -> bool:
    """Delete an entry, unless a process has it open or is writing it."""
    try:
        with (folder / _DATA).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    except OSError:
        return False
    return True


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
