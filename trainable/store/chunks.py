"""An array that several processes compute together, a chunk each at a time.

They share a folder with the array's bytes and, for each chunk, a mark that it is there. A
process takes the next chunk that is neither there nor taken by another; it takes it with the
system's lock on the chunk's mark, which ends with the process. So a chunk is computed once;
one whose process was killed is computed by the others; and what a search that was killed had
computed is not lost to the next.

That lock is on a range of bytes, one a chunk in one file, and the one on the data is shared by
all who use it: `fcntl` has both, and `filelock`, which excludes everywhere else, has neither.
"""

from __future__ import annotations

import fcntl
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import torch
from torch import Tensor

from trainable.files.places import Place
from trainable.store.description import CHECKSUMS, DATA, DESCRIPTION, Description

T = TypeVar("T")

_MARK: Final = struct.Struct("<BI")
"""A chunk's mark: 1 once its bytes are written, and their checksum."""

Compute = Callable[[int, int], Tensor]
"""Gives rows `start` to `stop` of an array."""


def _unnoticed(_: int) -> None:
    """Nobody follows."""


@dataclass(frozen=True)
class Chunks:
    """An array, in the chunks that it is computed in.

    Attributes:
        rows: The length of its first dimension.
        size: The rows of a chunk; the last may have fewer.
        compute: Gives the rows of a chunk.
        threads: How many chunks a process computes at once.
        advance: Called with the number of rows of each chunk that is there, whoever computed it.
    """

    rows: int
    size: int
    compute: Compute
    threads: int = 1
    advance: Callable[[int], None] = _unnoticed

    @property
    def count(self) -> int:
        """The number of chunks."""
        return math.ceil(self.rows / self.size)

    def rows_of(self, number: int) -> tuple[int, int]:
        """The first row of a chunk, and the one after its last."""
        start = number * self.size
        return start, min(start + self.size, self.rows)

    def whole(self, allocate: Callable[..., Tensor] = torch.empty) -> Tensor:
        """The whole array.

        Args:
            allocate: Given a shape and a `dtype`, gives the memory that the array is put into.
        """
        first = self.compute(*self.rows_of(0))
        array = allocate((self.rows, *first.shape[1:]), dtype=first.dtype)
        array[: len(first)] = first
        self.advance(len(first))

        def fill(number: int) -> None:
            start, stop = self.rows_of(number)
            array[start:stop] = self.compute(start, stop)
            self.advance(stop - start)

        self.each(fill, range(1, self.count))
        return array

    def each(self, work: Callable[[int], T], numbers: Iterable[int]) -> list[T]:
        """What a function gives for each of some chunks, as many at once as there are threads."""
        if self.threads == 1:
            return [work(number) for number in numbers]
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                return list(pool.map(work, numbers))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


class Assembly(AbstractContextManager["Assembly"]):
    """A process's part in computing an array into a folder.

    While it is open, a shared lock on the data says that the folder is in use.

    Args:
        folder: Made if it is not there.
        key: What determines the array; it goes into the description.
        chunks: The array.
        room: Called with the bytes of the array before any is written. In the block that it gives,
            the description is written.
    """

    def __init__(
        self,
        folder: Path,
        key: Mapping[str, Any],
        chunks: Chunks,
        room: Callable[[int], AbstractContextManager[None]],
    ) -> None:
        self._folder, self._key, self._chunks, self._room = folder, key, chunks, room
        self._described, self._description = False, Lock()
        folder.mkdir(exist_ok=True)
        self._marks = os.open(folder / CHECKSUMS, os.O_RDWR | os.O_CREAT, 0o644)
        self._data = os.open(folder / DATA, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._data, fcntl.LOCK_SH)

    def __exit__(self, *_: object) -> None:
        os.close(self._data)
        os.close(self._marks)

    def run(self) -> None:
        """Compute chunks until all are there, whoever has computed them.

        Raises:
            OSError: They cannot be written.
        """
        missing: Sequence[int] = range(self._chunks.count)
        while missing:
            taken = self._chunks.each(lambda number: self._take(number, wait=False), missing)
            missing = [number for number, there in zip(missing, taken, strict=True) if not there]
            if missing:  # which others compute
                self._take(missing[0], wait=True)

    def _take(self, number: int, *, wait: bool) -> bool:
        """Compute a chunk if no other process does; or, to wait for it, once none does.

        No two threads of a process may take the same one: to them the lock is one.

        Returns:
            Whether it is there.
        """
        place = (_MARK.size, number * _MARK.size)
        try:
            fcntl.lockf(self._marks, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), *place)
        except BlockingIOError:
            return False
        try:
            if not self._is_there(number):
                self._write(number)
        finally:
            fcntl.lockf(self._marks, fcntl.LOCK_UN, *place)
        if not wait:  # what is waited for is counted when it is taken again
            start, stop = self._chunks.rows_of(number)
            self._chunks.advance(stop - start)
        return True

    def _is_there(self, number: int) -> bool:
        mark = os.pread(self._marks, _MARK.size, number * _MARK.size)
        return len(mark) == _MARK.size and _MARK.unpack(mark)[0] == 1

    def _write(self, number: int) -> None:
        start, stop = self._chunks.rows_of(number)
        array = self._chunks.compute(start, stop)
        content = bytes_of(array)
        row_bytes = content.nbytes // (stop - start)
        with self._description:
            if not self._described:
                with self._room(self._chunks.rows * row_bytes):
                    self._describe(array, row_bytes)
        written, offset = 0, start * row_bytes
        while written < content.nbytes:
            written += os.pwrite(self._data, content[written:], offset + written)
        # Last, so that a chunk that is marked is whole.
        mark = _MARK.pack(1, zlib.crc32(content))
        os.pwrite(self._marks, mark, number * _MARK.size)

    def _describe(self, array: Tensor, row_bytes: int) -> None:
        """Say what the data is. Every process writes the same."""
        description = Description(
            key=dict(self._key),
            dtype=str(array.dtype).removeprefix("torch."),  # type: ignore[arg-type]
            shape=[self._chunks.rows, *array.shape[1:]],
            size=self._chunks.rows * row_bytes,
            chunk=self._chunks.size,
        )
        Place(self._folder).write(DESCRIPTION, description.model_dump_json().encode())
        self._described = True


def sums_of(folder: Path, chunks: Chunks) -> list[bytes]:
    """The checksums of an assembled array, one for each chunk.

    Raises:
        OSError: They cannot be read.
        ValueError: They are not so many.
    """
    content = (folder / CHECKSUMS).read_bytes()
    if len(content) != _MARK.size * chunks.count:
        raise ValueError("its checksums are of another length")
    return [content[start : start + _MARK.size] for start in range(0, len(content), _MARK.size)]


def sum_of(chunk: Tensor) -> bytes:
    """The checksum of a chunk that is there."""
    return _MARK.pack(1, zlib.crc32(bytes_of(chunk)))


def bytes_of(array: Tensor) -> memoryview:
    """An array's bytes, in the order of its rows."""
    return array.contiguous().reshape(-1).view(torch.uint8).numpy().data
