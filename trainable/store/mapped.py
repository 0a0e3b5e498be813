"""A mapped array that is compared with its checksums chunk by chunk, as its rows are read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.store.chunks import Chunks, sum_of, sums_of


class Mapped:
    """An array of the store, of which no more is read than is asked for.

    A chunk that is damaged is computed again, in this process, and the entry is discarded, so that
    it is whole for the next one.

    Args:
        array: What was mapped; writing to it must stay in this process.
        folder: The entry's.
        chunks: The array.
        discard: Deletes the entry.

    Raises:
        OSError, ValueError: Its checksums cannot be read.
    """

    def __init__(
        self, array: Tensor, folder: Path, chunks: Chunks, discard: Callable[[], None]
    ) -> None:
        self.array, self._folder, self._chunks, self._discard = array, folder, chunks, discard
        self._sums = sums_of(folder, chunks)
        self._checked = np.zeros(chunks.count, np.bool_)

    def __len__(self) -> int:
        return self._chunks.rows

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self.array.shape)

    def take(self, rows: NDArray[np.int64]) -> Tensor:
        """A copy of some rows."""
        numbers = np.unique(rows // self._chunks.size)
        self._check(numbers[~self._checked[numbers]].tolist())
        return self.array[torch.from_numpy(rows)]

    def verify(self) -> None:
        """Compare all of it.

        Raises:
            ValueError: It differs.
        """
        for number in range(self._chunks.count):
            if not self._is_whole(number):
                raise ValueError("its checksums differ")
        self._checked[:] = True

    def _is_whole(self, number: int) -> bool:
        start, stop = self._chunks.rows_of(number)
        return sum_of(self.array[start:stop]) == self._sums[number]

    def _check(self, numbers: list[int]) -> None:
        damaged = False
        for number in numbers:
            if not self._is_whole(number):
                start, stop = self._chunks.rows_of(number)
                self.array[start:stop] = self._chunks.compute(start, stop)
                damaged = True
            self._checked[number] = True
        if damaged:
            warnings.warn(
                f"{self._folder} is damaged (its checksums differ); what is needed of it is "
                "computed again",
                RuntimeWarning,
                stacklevel=4,
            )
            self._discard()
