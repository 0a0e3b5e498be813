"""The images of a split as rows of what is stored: gathered when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]


class Stored(Protocol):
    """Images that lie somewhere: uint8 of shape (N, R, R, 3)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all of them."""

    def take(self, rows: Indices) -> Tensor:
        """A copy of some of them."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Images that are read when they are asked for: what stands for a tensor (N, 3, R, R) of uint8.

    Indexed, it gives tensors. What PyTorch's functions are given of it is read whole.

    Attributes:
        sources: Where the images lie.
        indices: Which of them these are, counted through all sources, int64 of shape (N,).
    """

    sources: tuple[Stored, ...]
    indices: Indices

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, which: int | slice | Tensor | Indices) -> Tensor:
        """Images of shape (n, 3, R, R), contiguous; or one, of shape (3, R, R)."""
        if isinstance(which, int | np.integer):
            return self[np.array([which])][0]
        at = which.cpu().numpy() if isinstance(which, Tensor) else which
        return self.pixels(self.indices[at]).permute(0, 3, 1, 2).contiguous()

    @classmethod
    def __torch_function__(
        cls,
        function: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return function(*map(_whole, args), **{k: _whole(v) for k, v in (kwargs or {}).items()})

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As a tensor has it: (N, 3, R, R)."""
        _, height, width, channels = self.sources[0].shape
        return len(self), channels, height, width

    @property
    def dtype(self) -> torch.dtype:
        """That of pixels."""
        return torch.uint8

    @property
    def device(self) -> torch.device:
        """Where its images come from."""
        return torch.device("cpu")

    @property
    def nbytes(self) -> int:
        """The bytes of its images, which are in memory only as far as they were read."""
        return int(np.prod(self.shape))

    def split(self, size: int) -> Iterator[Tensor]:
        """Images in order, so many at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def at(self, indices: Indices) -> Rows:
        """Some of these images, which are not read."""
        return Rows(self.sources, self.indices[indices])

    def joined(self, other: Rows) -> Rows:
        """These images, and then others, which are not read."""
        if self.sources == other.sources:
            return Rows(self.sources, np.concatenate([self.indices, other.indices]))
        first = sum(source.shape[0] for source in self.sources)
        indices = np.concatenate([self.indices, first + other.indices])
        return Rows((*self.sources, *other.sources), indices)

    def pixels(self, rows: Indices) -> Tensor:
        """Images by their rows in the sources: uint8 of shape (n, R, R, 3)."""
        if len(self.sources) == 1:
            return self.sources[0].take(rows)
        found = torch.empty((len(rows), *self.sources[0].shape[1:]), dtype=torch.uint8)
        first = 0
        for source in self.sources:
            inside = np.flatnonzero((rows >= first) & (rows < first + source.shape[0]))
            if len(inside):
                found[torch.from_numpy(inside)] = source.take(rows[inside] - first)
            first += source.shape[0]
        return found


Images: TypeAlias = Tensor | Rows
"""Images of shape (N, 3, R, R): in memory, or read when they are asked for."""


def some_of(images: Images, indices: Indices) -> Images:
    """Some images: a copy of what is in memory, and of the others none."""
    return images.at(indices) if isinstance(images, Rows) else images[torch.from_numpy(indices)]


def joined(one: Images, other: Images) -> Images:
    """Images, and then others: a copy of what is in memory, and of the others none."""
    if isinstance(one, Rows) and isinstance(other, Rows):
        return one.joined(other)
    return torch.cat([one[:], other[:]])


def _whole(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_whole, value))
    return value[:] if isinstance(value, Rows) else value
