"""What the frozen prefix makes of a split: computed in chunks, in storage order.

An activation is a constant of (view, weights, depth, precision). To keep it one, it is
always computed in the same chunks and rounded to the storage type, whether it is then
stored or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psutil
import torch
from torch import Tensor, nn

from trainable.augment.views import Views
from trainable.device import Device
from trainable.network.weights import network_hash
from trainable.store.arrays import ArrayStore
from trainable.store.chunks import Chunks

CHUNK: Final = 128
"""Images that pass through a network at once."""

_LITTLE: Final = 2**28
"""Bytes of pixels below which nobody asks whether there is room."""
_SHARE: Final = 4
"""What is left of memory, divided by this, may be filled with an output."""

MEANING: Final = 3
"""To be raised when the code comes to make other bytes of the same inputs."""


def apply_prefix(prefix: nn.Sequential, pixels: Tensor, device: Device) -> Tensor:
    """The prefix's output on a chunk of images, with channels last in memory.

    Args:
        prefix: Frozen stages, in eval mode. Empty passes pixels through.
        pixels: uint8 of shape (n, 3, S, S).
        device: Where the prefix computes, and the type its output is stored in.

    Returns:
        On the device: uint8 of shape (n, S, S, 3) for an empty prefix, else `device.dtype`
        of shape (n, H, W, C), or (n, C) after the pooling.
    """
    output = _forward(prefix, pixels.to(device.torch_device), device)
    return channels_last(output if output.dtype == torch.uint8 else output.to(device.dtype))


@torch.no_grad()
def _forward(prefix: nn.Sequential, pixels: Tensor, device: Device) -> Tensor:
    with device.autocast():
        return prefix(pixels.contiguous(memory_format=torch.channels_last))


def channels_last(output: Tensor) -> Tensor:
    """Images (N, C, H, W) as they are stored: (N, H, W, C), contiguous."""
    return output.permute(0, 2, 3, 1).contiguous() if output.ndim == 4 else output


class PrefixOutputs:
    """A frozen prefix and the store of its outputs.

    Args:
        prefix: Frozen stages, in eval mode.
        device: Where it computes.
        store: Where its outputs are cached; None computes each time.
        resident: Whether the outputs go to the device's memory, if they fit there.
    """

    def __init__(
        self,
        prefix: nn.Sequential,
        device: Device,
        store: ArrayStore | None = None,
        *,
        resident: bool = True,
    ) -> None:
        self.device, self.resident = device, resident
        self._allocate = device.allocate if resident else torch.empty
        self._prefix, self._store = prefix, store
        self._identity: dict[str, str | int] = {
            "meaning": MEANING,
            "prefix": network_hash(prefix),
            "dtype": str(device.dtype),
            "computed_by": device.identity,
        }

    @property
    def are_pixels(self) -> bool:
        """Whether the prefix is empty: then what enters the tail is the view itself."""
        return len(self._prefix) == 0

    def on(self, views: Views, rendition: int) -> Tensor:
        """The prefix's output on a rendition of a split, on the device if that has room."""
        chunks = self._chunks(views, rendition)
        if self._store is None:
            return chunks.whole(self._allocate)
        stored = self._store.get(
            self._key(views, rendition),
            Chunks(len(views), CHUNK, lambda start, stop: chunks.compute(start, stop).cpu()),
        )
        if not self.device.is_gpu:
            return stored
        return self._allocate(tuple(stored.shape), dtype=stored.dtype).copy_(stored)

    def in_order(self, views: Views, rendition: int) -> Tensor | Recomputed:
        """The same to be read in order, which need not be in memory for it."""
        if self.is_too_much(views, rendition):
            return Recomputed(self._chunks(views, rendition))
        return self.on(views, rendition)

    def is_too_much(self, views: Views, rendition: int) -> bool:
        """Whether neither the store has room for the output on a rendition, nor memory.

        Only on a CPU: a GPU has its own rules of what stays where.
        """
        if self.device.is_gpu or len(views) * 3 * views.image_size**2 < _LITTLE:
            return False
        size = self._chunks(views, rendition).compute(0, 1).nbytes * len(views)
        if self._store is not None and (
            self._store.holds(self._key(views, rendition)) or not self._store.why_no_room(size)
        ):
            return False
        return size > psutil.virtual_memory().available // _SHARE

    def _key(self, views: Views, rendition: int) -> dict[str, str | int | bool]:
        return {**self._identity, **views.key(rendition)}

    def _chunks(self, views: Views, rendition: int) -> Chunks:
        def compute(start: int, stop: int) -> Tensor:
            pixels = views.render(rendition, start, stop)
            return apply_prefix(self._prefix, pixels, self.device)

        return Chunks(len(views), CHUNK, compute)


@dataclass(frozen=True)
class Recomputed:
    """The prefix's output on a rendition, computed whenever it is read: too much to be kept.

    In the chunks in which it is computed where it is kept, so that it is the same to the bit.

    Attributes:
        chunks: The output.
    """

    chunks: Chunks

    def __len__(self) -> int:
        return self.chunks.rows

    def split(self, size: int) -> Iterator[Tensor]:
        """The output in order, one chunk (:data:`CHUNK`) at a time."""
        assert size == self.chunks.size
        for number in range(self.chunks.count):
            yield self.chunks.compute(*self.chunks.rows_of(number))


def as_tail_input(stored: Tensor) -> Tensor:
    """Stored activations (N, H, W, C) seen as (N, C, H, W), without a copy."""
    return stored.permute(0, 3, 1, 2) if stored.ndim == 4 else stored
