"""The image files of a split: what is made of them, and where it lies.

What is known of files (:mod:`trainable.data.decoding.facts`) and their pixels are arrays of the
store, named by the files' paths, sizes and times. Where there is no store, or no room in it, images
are decoded into memory, or, where they would fill that, whenever they are read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.decoding.decoders import decoders
from trainable.data.decoding.facts import FACTS, Facts, Stamps, facts_of, stamps_of
from trainable.data.decoding.image_file import read_square, read_squares
from trainable.data.decoding.lending import lender_of
from trainable.data.decoding.processes import beside
from trainable.data.looks import Looks
from trainable.data.progress import Bar
from trainable.data.stored import Indices, Stored
from trainable.runtime import ImageCache
from trainable.store.arrays import ArrayStore, default_root
from trainable.store.chunks import Chunks, Compute

IMAGES: Final = "images"
"""The kind of the store's entries that are counted together here."""
MEANING: Final = 1
"""To be raised when the code comes to make other bytes of the same files."""

FACTS_ROWS: Final = 64
PIXELS_ROWS: Final = 16
"""Images of a chunk: so many are read, and compared with their checksum, where one is asked for."""
_SHARE: Final = 4
"""What is left of memory, divided by this, may be filled with decoded images."""


def open_images(cache: ImageCache) -> ArrayStore | None:
    """The store of decoded images; None if it may hold nothing."""
    if not cache.max_bytes:
        return None
    return ArrayStore(Path(cache.root or default_root()), cache.max_bytes, IMAGES)


@dataclass(frozen=True)
class Files:
    """The image files of a split, and where what is made of them is stored.

    Attributes:
        paths: The files, in the order of storage.
        store: Where it is stored; None is nowhere.
        known: What is known of each file, where that was found before.
    """

    paths: Sequence[Path]
    store: ArrayStore | None
    known: Facts | None = None

    def at(self, rows: Indices) -> Files:
        """Some of the files, none of which is read again for what is known of it."""
        paths = [self.paths[row] for row in rows]
        # Of a store it is lent, and then stored beside what is made of these.
        return Files(paths, self.store, None if self.store else self.facts[rows])

    @cached_property
    def stamps(self) -> Stamps:
        """What is known of the files without reading them."""
        return stamps_of(self.paths)

    @cached_property
    def key(self) -> dict[str, Any]:
        """What determines all that is made of the files."""
        return {
            "kind": IMAGES,
            "meaning": MEANING,
            "decoded_by": decoders(),
            "data": hashlib.sha256(self.stamps.identities.tobytes()).hexdigest(),
            "folder": _folder_of(self.paths),
        }

    @cached_property
    def facts(self) -> Facts:
        """What is known of each file once it is read, records of :data:`FACTS` of shape (N,)."""
        if self.known is not None:
            return self.known

        read = beside(facts_of, len(self.paths))

        def compute(start: int, stop: int) -> Tensor:
            records = read(self.paths[start:stop], self._identities[start:stop])
            return torch.from_numpy(records.view(np.uint8).reshape(stop - start, -1))

        key = {**self.key, "what": "facts"} if self.store else {}
        known = self.store is not None and self.store.holds(key)
        with Bar(f"reading {len(self.paths):,} images", 0 if known else len(self.paths)) as bar:
            chunks = self._chunks(FACTS_ROWS, self._lent(compute, key, 0), bar)
            array = self.store.get(key, chunks) if self.store else chunks.whole()
        return array.numpy().view(FACTS)[:, 0]

    def looks(self) -> Looks:
        """How the images look."""
        return Looks(self.facts["look"], self.facts["thumb"])

    def images(self, side: int) -> NDArray[np.uint8] | Stored:
        """The images decoded at a side in pixels, of shape (N, side, side, 3)."""
        size = self.size(side)
        if self.store is not None and self._has_room(side):
            return self._stored(self.store, side)
        if size > psutil.virtual_memory().available // _SHARE:
            return Unread(self.paths, side)
        with self._decoding(len(self.paths), side) as bar:
            return self._chunks(PIXELS_ROWS, self._decode(side), bar).whole().numpy()

    def size(self, side: int) -> int:
        """The bytes of the decoded images."""
        return len(self.paths) * 3 * side * side

    def _stored(self, store: ArrayStore, side: int) -> NDArray[np.uint8] | Stored:
        key = self._pixels(side)
        with self._decoding(0 if store.holds(key) else len(self.paths), side) as bar:
            compute = self._lent(self._decode(side), key, self.size(side))
            chunks = self._chunks(PIXELS_ROWS, compute, bar)
            return store.mapped(key, chunks) or chunks.whole().numpy()

    def _has_room(self, side: int) -> bool:
        store = self.store
        return store is not None and (
            store.holds(self._pixels(side)) or store.why_no_room(self.size(side)) is None
        )

    def _pixels(self, side: int) -> dict[str, Any]:
        return {**self.key, "what": "pixels", "image_size": side}

    def _decoding(self, count: int, side: int) -> Bar:
        gigabytes = self.size(side) / 10**9
        much = f", {gigabytes:.1f} GB" if gigabytes >= 1 else ""
        return Bar(f"decoding {count:,} images{much}", count)

    def _decode(self, side: int) -> Compute:
        read = beside(read_squares, len(self.paths))

        def compute(start: int, stop: int) -> Tensor:
            return torch.from_numpy(read(self.paths[start:stop], side))

        return compute

    def _lent(self, compute: Compute, key: dict[str, Any], size: int) -> Compute:
        """The same with what the store has of these files in arrays of others."""
        if self.store is None or self.store.holds(key):
            return compute
        lender = lender_of(self.store, key, self._identities, size)
        return compute if lender is None else partial(lender.rows, compute)

    def _chunks(self, size: int, compute: Compute, bar: Bar) -> Chunks:
        return Chunks(len(self.paths), size, compute, torch.get_num_threads(), bar.more)

    @property
    def _identities(self) -> NDArray[np.uint64]:
        if self.store is None:
            return np.zeros(len(self.paths), np.uint64)
        return self.stamps.identities


def _folder_of(paths: Sequence[Path]) -> str:
    """The folder that all files are in."""
    folders = {os.path.dirname(path) for path in paths}  # noqa: PTH120 - of many, far faster
    # Of a table some may be absolute, and others not.
    return os.path.commonpath([Path(folder).absolute() for folder in folders])


class Unread:
    """Images that are decoded whenever they are read: more than memory and the store can hold.

    Args:
        paths: Their files.
        side: The side at which they are decoded, in pixels.
    """

    def __init__(self, paths: Sequence[Path], side: int) -> None:
        self._paths, self._side = paths, side
        self._pool = ThreadPoolExecutor(torch.get_num_threads())

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all of them."""
        return len(self._paths), self._side, self._side, 3

    def take(self, rows: Indices) -> Tensor:
        """Decode some of them."""
        read = partial(read_square, side=self._side)
        images = list(self._pool.map(read, [self._paths[row] for row in rows]))
        return torch.from_numpy(np.stack(images)) if images else torch.empty(0, *self.shape[1:])
