"""The image files of a source as images of one size: decoded once on a machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainable.data.decoding.files import Files, Unread
from trainable.data.looks import Looks
from trainable.data.memo import Memo
from trainable.data.parts import SplitName
from trainable.data.sizes import stored_side
from trainable.data.stored import Stored
from trainable.store.arrays import ArrayStore

LEAST_BYTES: Final = 2**20
"""Bytes of files that are worth storing; fewer are decoded in no time."""


class Decoded:
    """Image files by split, and what becomes of them.

    Args:
        files: The files of each split, all of which can be read.
        image_size: Side that the network sees, in pixels; it decides the side R of the images.
    """

    def __init__(self, files: Mapping[SplitName, Files], image_size: int) -> None:
        self._files = files
        self.side = _side(list(files.values()), image_size)
        self.images: dict[SplitName, NDArray[np.uint8] | Stored] = {
            name: each.images(self.side) for name, each in files.items()
        }

    @property
    def hashes(self) -> dict[SplitName, NDArray[np.uint64]]:
        """What identifies each image: the hash of its file, uint64 of shape (N,)."""
        return {name: each.facts["hash"] for name, each in self._files.items()}

    @property
    def looks(self) -> dict[SplitName, Looks]:
        """How each image looks."""
        return {name: each.looks() for name, each in self._files.items()}

    @property
    def memo(self) -> Memo | None:
        """Where what is computed of all of them is stored."""
        (store,) = {each.store for each in self._files.values()}
        if store is None:
            return None
        digest = hashlib.sha256(repr(self.side).encode())
        for name, each in self._files.items():
            digest.update(f"{name} {each.key['data']}".encode())
        key = next(iter(self._files.values())).key
        return Memo(store, {**key, "data": digest.hexdigest()})

    @property
    def notes(self) -> tuple[str, ...]:
        """That images are decoded whenever they are read, where they are, and what helps."""
        unread = [name for name, each in self.images.items() if isinstance(each, Unread)]
        if not unread:
            return ()
        count = sum(len(self._files[name].paths) for name in unread)
        size = sum(self._files[name].size(self.side) for name in unread)
        store = self._files[unread[0]].store
        why = "the cache is off" if store is None else store.why_no_room(size)
        return (
            f"{count:,} images take {size / 10**9:.1f} GB decoded to {self.side} x {self.side} "
            f"pixels, and {why}: they are decoded whenever they are read, which is slow; lower "
            "data.image_size or data.limit, or give them room (cache.images_gb, cache.root)",
        )


def open_files(
    paths: Mapping[SplitName, Sequence[Path]], store: ArrayStore | None
) -> dict[SplitName, Files]:
    """Files, and where what is made of them is stored.

    Args:
        paths: The files of each split, in the order of storage.
        store: Where the images are decoded to; None decodes them into memory, as few are.
    """
    files = {name: Files(each, store) for name, each in paths.items()}
    if store is not None and sum(each.stamps.size for each in files.values()) < LEAST_BYTES:
        return {name: Files(each, None) for name, each in paths.items()}
    return files


def _side(files: Sequence[Files], image_size: int) -> int:
    """The side at which images are stored, in pixels.

    Their own where all are alike, square and small; else 8/7 of what the network
    sees (256 for 224), which leaves room for crops.
    """
    facts = np.concatenate([each.facts[["width", "height"]] for each in files])
    width, height = (int(number) for number in facts[0])
    alike = (facts["width"] == width).all() and (facts["height"] == height).all()
    return width if alike and width == height <= image_size else stored_side(image_size)
