"""The images that a split takes of what a source gave, and the fingerprint of all of these."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.memo import numbers_of
from trainable.data.parts import SPLITS, Parts, SplitName
from trainable.data.split import Split
from trainable.data.stored import Images, Rows

_CHUNK: Final = 256
"""Images that are copied at once, for a peak of memory that is hardly above two copies of all."""


class Chosen:
    """The images of a split, as they lie in what the source gave.

    Args:
        parts: What the source gave.
        groups: The duplicates among its images.
        together: Which of its images stay together.
        name: The split's name.
        indices: Its images; all those of the source's split of this name where None.
    """

    def __init__(
        self,
        parts: Parts,
        groups: dict[SplitName, NDArray[np.uint64]],
        together: dict[SplitName, NDArray[np.uint64]],
        name: SplitName,
        indices: NDArray[np.int64] | None,
    ) -> None:
        of: SplitName = name if name in parts.images else "train"
        self.indices = np.arange(len(parts.labels[of])) if indices is None else indices
        self.images, self.labels = parts.images[of], parts.labels[of][self.indices]
        self._files = parts.files.get(of)
        self._hashes, self._groups = parts.hashes[of][self.indices], groups[of][self.indices]
        self._looks, self._together = (
            parts.looks[of].hashes[self.indices],
            together[of][self.indices],
        )
        self.weights = parts.weights[of][self.indices] if parts.weights else np.empty(0)
        self.targets = parts.targets[of][self.indices] if parts.targets else np.empty(0, np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its images, (N, R, R, 3)."""
        return (len(self.indices), *self.images.shape[1:])

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """Its images, some at a time."""
        for start in range(0, len(self.indices), _CHUNK):
            rows = self.indices[start : start + _CHUNK]
            if isinstance(self.images, np.ndarray):
                yield self.images[rows]
            else:
                yield self.images.take(rows).numpy()

    def split(self) -> Split:
        """The same in the order of PyTorch's dimensions."""
        files = () if self._files is None else tuple(self._files[index] for index in self.indices)
        return Split(
            self._of_pytorch(),
            torch.from_numpy(self.labels),
            files,
            self._hashes,
            self._groups,
            self._looks,
            self._together,
            self.weights,
            self.targets,
        )

    def _of_pytorch(self) -> Images:
        if not isinstance(self.images, np.ndarray):
            return Rows((self.images,), self.indices)
        count, height, width, channels = self.shape
        images, done = torch.empty((count, channels, height, width), dtype=torch.uint8), 0
        for chunk in self.chunks():
            images[done : (done := done + len(chunk))] = torch.from_numpy(chunk).permute(0, 3, 1, 2)
        return images

    @property
    def order(self) -> bytes:
        """What its fingerprint depends on beside its pixels."""
        arrays: tuple[NDArray[Any], ...] = (
            *(self.indices, self.labels),
            *(self.weights, self.targets),
        )
        return b"".join([repr(self.shape).encode(), *map(_bytes_of, arrays)])


def fingerprint_of(parts: Parts, chosen: dict[SplitName, Chosen]) -> str:
    """SHA-256 (hex) of all images, which is computed once where they are stored."""

    def compute() -> NDArray[np.uint64]:
        digest = hashlib.sha256(repr(parts.classes).encode())
        for name in sorted(chosen):
            digest.update(f"{name} {chosen[name].shape}".encode())
            for chunk in chosen[name].chunks():
                digest.update(_bytes_of(chunk))
            digest.update(_bytes_of(chosen[name].labels))
            digest.update(_bytes_of(chosen[name].weights))
            digest.update(_bytes_of(chosen[name].targets))
        return np.frombuffer(digest.digest(), np.uint64)

    orders = (chosen[name].order for name in SPLITS)
    known = repr(parts.classes).encode()
    return numbers_of(parts.memo, "fingerprint", 4, compute, known, *orders).tobytes().hex()


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data
