"""One entry of the store as files: mapped, in use, damaged, deleted.

A process that has an entry open, or writes it, holds a shared lock on its data; `filelock` has no
shared ones, so it is `fcntl`'s.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from trainable.store.description import (
    CHECKSUMS,
    DATA,
    DESCRIPTION,
    Description,
    read_description,
)

FILES: Final = "files"
"""The folder beside the entries for copies of files that lie elsewhere."""
ASIDE: Final = ".part"
"""The suffix of what is being written."""
_NAME: Final = re.compile("[0-9a-f]{32}")
"""What :func:`name_of` gives: a cache may be in a folder that holds other things, which stay."""
ACTIVATIONS: Final = "activations"
_KIND: Final = "kind"
_NO_RESERVE: Final = 0x4000 if sys.platform == "linux" else 0
"""Linux's MAP_NORESERVE, which Python names from 3.12 on. Without it, what might be written to
would have to fit into memory before any is."""


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

    @property
    def kind(self) -> str:
        """What it is counted with: its key says it."""
        return str(self.key.get(_KIND, ACTIVATIONS))


def entries_in(root: Path) -> list[Entry]:
    """What is in a store, the most recently opened first."""
    found = []
    for folder in folders_in(root):
        with suppress(OSError, ValueError):
            content, used = read_description(folder), (folder / DESCRIPTION).stat().st_mtime
            found.append(Entry(folder, content.key, content.size, used))
    return sorted(found, key=lambda entry: -entry.used)


def folders_in(root: Path) -> list[Path]:
    """The folders of the entries of a store, and of nothing else that lies beside them."""
    return [path for path in root.glob("*/") if _NAME.fullmatch(path.name) and _is_own(path)]


def unfinished_in(root: Path) -> list[Path]:
    """The folders of what is being written, or was when its process was killed."""
    return [path for path in root.glob(f"*{ASIDE}") if _NAME.fullmatch(path.stem) and _is_own(path)]


def _is_own(folder: Path) -> bool:
    """Whether a folder holds nothing but what an entry has, all of it or a part."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:  # it is gone, or no folder
        return False
    return all(name.startswith((DATA, CHECKSUMS, DESCRIPTION)) for name in names)


def name_of(key: Mapping[str, Any]) -> str:
    """The folder's name of what a key determines."""
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:32]


def map_array(path: Path, content: Description) -> Tensor:
    """Map an array, and hold a shared lock on its data for as long as it lives.

    It may be larger than memory. What is written to it stays in this process.

    Raises:
        OSError: It cannot be opened or mapped.
        ValueError: It has another length.
    """
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_size != content.size:
            raise ValueError("its data has another length")
        flags, access = mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        mapped = mmap.mmap(file.fileno(), content.size, flags, access)
    # It holds a duplicate of the descriptor, and so the lock, and the tensor holds it.
    return torch.frombuffer(mapped, dtype=content.torch_dtype).view(content.shape)


def is_damaged(folder: Path) -> bool:
    """Whether an entry cannot be read by anybody, at any time."""
    try:
        read_description(folder)
    except (ValueError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False


def promised(folder: Path, kind: str) -> int:
    """How many bytes an entry that is being written will have; 0 if it is of another kind."""
    try:
        content = read_description(folder)
    except (OSError, ValueError):  # none was promised yet
        return 0
    return content.size if content.key.get(_KIND, ACTIVATIONS) == kind else 0


def is_open(folder: Path) -> bool:
    """Whether a process has an entry open or is writing it."""
    try:
        with (folder / DATA).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def delete_unless_open(folder: Path) -> bool:
    """Delete an entry, unless a process has it open or is writing it."""
    try:
        with (folder / DATA).open("ab") as file:  # which makes one that is missing
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    except OSError:
        return False
    return True
