"""What is computed of all images of a source, and takes long: found in the store the next time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.store.arrays import ArrayStore
from trainable.store.chunks import Chunks


@dataclass(frozen=True)
class Memo:
    """A store, and the images that its results are of.

    Attributes:
        store: The store.
        key: What determines the images.
    """

    store: ArrayStore
    key: Mapping[str, Any]

    def numbers(
        self, what: str, count: int, compute: Callable[[], NDArray[np.uint64]], *of: bytes
    ) -> NDArray[np.uint64]:
        """Numbers that are computed of the images, uint64 of shape (count,).

        Args:
            what: What they are.
            count: How many there are.
            compute: Gives them.
            of: What else determines them.
        """
        digest = hashlib.sha256()
        for each in of:
            digest.update(hashlib.sha256(each).digest())
        key = {**self.key, "what": what, "of": digest.hexdigest()}

        def rows(start: int, stop: int) -> torch.Tensor:
            return torch.from_numpy(compute()[start:stop].copy().view(np.uint8).reshape(-1, 8))

        found = self.store.get(key, Chunks(count, count, rows))
        return found.numpy().view(np.uint64)[:, 0]


def numbers_of(
    memo: Memo | None,
    what: str,
    count: int,
    compute: Callable[[], NDArray[np.uint64]],
    *of: bytes,
) -> NDArray[np.uint64]:
    """The same where there may be no store."""
    return compute() if memo is None else memo.numbers(what, count, compute, *of)
