"""What is known of an image file before it is decoded for a network: found once, then stored.

A file is known by its path, its size and its times. Of each the hash of its content, its size in
pixels and its looks are found, none of which depends on a config.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainable.data.decoding.image_file import ImageError, read_looks
from trainable.data.hashing import hash_open
from trainable.data.looks import THUMB, Looks

FACTS: Final = np.dtype(
    [
        ("identity", "<u8"),
        ("hash", "<u8"),
        ("look", "<u8"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("thumb", "u1", (THUMB, THUMB, 3)),
        ("broken", "u1"),
    ]
)
"""A record: `identity` of the file, `hash` of its content, `look` and `thumb` as
:class:`~trainable.data.looks.Looks` has them, and whether it cannot be read."""

_TICK_NS: Final = 20_000_000
"""The time within which two changes of a file may leave it with the same time."""

Facts = NDArray[np.void]


@dataclass(frozen=True)
class Stamps:
    """What is known of files without reading them.

    Attributes:
        identities: What identifies each, uint64 of shape (N,): its path, size and times.
        size: The bytes of all of them.
        newest: The time at which one was last changed, in nanoseconds since 1970.
    """

    identities: NDArray[np.uint64]
    size: int
    newest: int


def stamps_of(files: Sequence[Path]) -> Stamps:
    """What is known of files without reading them.

    The time of its last change of any kind is among it, which no program can set.

    Raises:
        ImageError: A file is not there.
    """
    found = _stamps_of(files)
    if 0 <= time.time_ns() - found.newest < _TICK_NS:  # a change of now might leave it as it is
        time.sleep(_TICK_NS / 10**9)
        found = _stamps_of(files)
    return found


def facts_of(files: Sequence[Path], identities: NDArray[np.uint64]) -> Facts:
    """What is found of files: records of :data:`FACTS`, of shape (n,).

    Args:
        files: The files.
        identities: What identifies each, of shape (n,).
    """
    records, looks = np.zeros(len(files), FACTS), Looks.empty(len(files))
    records["identity"] = identities
    for row, file in enumerate(files):
        try:
            with file.open("rb") as raw:
                size, small = read_looks(raw)
                raw.seek(0)
                records[row]["hash"] = hash_open(raw)
        except (ImageError, OSError):
            records[row]["broken"] = 1
            continue
        records[row]["width"], records[row]["height"] = size
        if small is not None:  # one at a time: of several, sums come in another order
            looks.put(row, small[None])
    records["look"], records["thumb"] = looks.hashes, looks.thumbs
    return records


def _stamps_of(files: Sequence[Path]) -> Stamps:
    found, size, newest = np.empty(len(files), np.uint64), 0, 0
    for index, file in enumerate(files):
        try:
            stat = os.stat(file)  # noqa: PTH116 - half the time of Path's
        except OSError as error:
            raise ImageError(f"{file} cannot be read: {error.strerror}") from error
        size += stat.st_size
        newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
        text = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} ".encode()
        path = os.fsencode(os.path.abspath(file))  # noqa: PTH100 - as above
        digest = hashlib.blake2b(text + path, digest_size=8).digest()
        found[index] = int.from_bytes(digest, "little")
    return Stamps(found, size, newest)
