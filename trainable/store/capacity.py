"""How much the store may hold: its cap, what is in use, and its disk."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from trainable.store.description import DATA
from trainable.store.entries import (
    Entry,
    delete_unless_open,
    entries_in,
    folders_in,
    is_damaged,
    is_open,
    promised,
    unfinished_in,
)

_SPARE: Final = 10**9
"""Bytes of a disk that are left free, or a tenth of what is free if that is less."""


def make_room(root: Path, kind: str, max_bytes: int, own: Path, size: int) -> None:
    """Delete what was opened longest ago until `size` more bytes fit.

    Whoever calls it holds the store's lock until the new entry says how large it will be: what is
    being written counts in full from then on.

    Args:
        root: The store's folder.
        kind: What the bytes are counted with.
        max_bytes: The greatest size of what is of that kind.
        own: Where the bytes are to be written.
        size: How many they are.

    Raises:
        OSError: They cannot fit.
    """
    if size > max_bytes:
        raise OSError(f"an array of {size:,} bytes is over the cap of {max_bytes:,}")
    total = size + _promised_to_others(root, kind, own)
    for folder in filter(is_damaged, folders_in(root)):
        delete_unless_open(folder)
    entries = [entry for entry in entries_in(root) if entry.kind == kind]
    total += _sum(entries)
    free = [entry for entry in reversed(entries) if not is_open(entry.folder)]
    if total - _sum(free) > max_bytes:
        raise OSError(
            f"an array of {size:,} bytes does not fit beside what is in use: the cap is "
            f"{max_bytes:,}"
        )
    on_disk = _free(root) + _written(own)
    for entry in free:
        if (total > max_bytes or size > on_disk) and delete_unless_open(entry.folder):
            total -= entry.size
            on_disk += entry.size
    if size > on_disk:
        raise OSError(f"an array of {size:,} bytes does not fit on the disk: {on_disk:,} are free")


def why_no_room(root: Path, kind: str, max_bytes: int, size: int) -> str | None:
    """Why `size` more bytes would not fit, as far as that can be known before; None if they would.

    Args:
        root: The store's folder, which need not be there.
        kind: What the bytes are counted with.
        max_bytes: The greatest size of what is of that kind.
        size: How many they are.
    """
    entries = [entry for entry in entries_in(root) if entry.kind == kind]
    used = [entry for entry in entries if is_open(entry.folder)]
    if size > (left := max_bytes - _sum(used)):
        return f"the cache may hold {max(left, 0) / 10**9:.1f} GB more of them"
    there = next(each for each in (root, *root.absolute().parents) if each.exists())
    on_disk = _free(there) + _sum(entries) - _sum(used)
    return f"{root} has {on_disk / 10**9:.1f} GB free" if size > on_disk else None


def _promised_to_others(root: Path, kind: str, own: Path) -> int:
    """The bytes that others are writing; what killed processes were writing is deleted."""
    others = [folder for folder in unfinished_in(root) if folder != own]
    return sum(promised(folder, kind) for folder in others if not delete_unless_open(folder))


def _sum(entries: list[Entry]) -> int:
    return sum(entry.size for entry in entries)


def _free(folder: Path) -> int:
    """The bytes of a disk that may be filled: not all, since searches write there too."""
    free = shutil.disk_usage(folder).free
    return free - min(_SPARE, free // 10)


def _written(own: Path) -> int:
    """The bytes that are written already, by a process that was killed, or is at it too."""
    with suppress(OSError):
        return (own / DATA).stat().st_blocks * 512
    return 0
