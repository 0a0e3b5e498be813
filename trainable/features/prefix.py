"""What the frozen prefix makes of a split: computed in chunks, in storage order.

An activation is a constant of (view, weights, depth, precision). To keep it one, it is
always computed in the same chunks and rounded to the storage type, whether it is then
stored or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
PARTS: Final = 4
"""One of so many parts of memory may be filled with outputs: of what is free, or of a GPU's share
for a trial."""

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

    Attributes:
        pixels: The same of an empty prefix, which are the views themselves.
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
        self.pixels: PrefixOutputs = self
        if len(prefix):
            self.pixels = PrefixOutputs(nn.Sequential(), device, resident=resident)
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
        together = stored.nbytes * len(views.renditions_of(0))
        if not self.device.is_gpu or together > self._part_of_gpu:
            return stored
        return self._allocate(tuple(stored.shape), dtype=stored.dtype).copy_(stored)

    def of_pixels(self, pixels: Tensor, places: Tensor, count: int) -> Tensor:
        """The prefix's output on some images, in parts of at most :data:`CHUNK`.

        A CPU computes an image that passes alone in another way, and each of several the same in
        whatever company. So an image is alone here if it is where all outputs are kept: the last
        one, if it is the only one of its chunk.

        Args:
            pixels: On the device, uint8 of shape (n, S, S, 3).
            places: Their indices in the rendition, of shape (n,).
            count: How many images that has.
        """
        if self.are_pixels:
            return pixels
        output = torch.cat([self._in_company(part) for part in pixels.split(CHUNK)])
        if count % CHUNK == 1 and not self.device.is_gpu:
            for row in (places == count - 1).nonzero().flatten():
                output[row] = self._apply(pixels[row][None])[0]
        return output

    def _in_company(self, pixels: Tensor) -> Tensor:
        return (
            self._apply(pixels) if len(pixels) > 1 else self._apply(pixels.repeat(2, 1, 1, 1))[:1]
        )

    def _apply(self, pixels: Tensor) -> Tensor:
        return apply_prefix(self._prefix, as_tail_input(pixels), self.device)

    def recomputed(self, views: Views, rendition: int, places: Tensor | None = None) -> Recomputed:
        """The same to be read in order, which is not in memory for it.

        Args:
            views: A split.
            rendition: Its number.
            places: The indices of some of its images; None is all.
        """
        if places is None:
            return Recomputed(self._chunks(views, rendition))

        def compute(start: int, stop: int) -> Tensor:
            some = places[start:stop]
            pixels = channels_last(views.render_at(rendition, some))
            return self.of_pixels(pixels, some, len(views))

        return Recomputed(Chunks(len(places), CHUNK, compute))

    def is_too_much(self, views: Views, renditions: Sequence[int], kept: int = 0) -> bool:
        """Whether neither the store has room for the outputs on renditions, nor memory.

        Args:
            views: A split.
            renditions: Their numbers.
            kept: Bytes of a GPU's memory that other outputs have filled.
        """
        on_gpu = self.device.is_gpu and self.resident
        part = self._part_of_gpu if on_gpu else self._part_of_free(views, renditions)
        if part == math.inf:
            return False
        size = self.image_bytes(views.image_size) * len(views)
        if self._store is not None and all(
            self._store.holds(self._key(views, rendition)) for rendition in renditions
        ):
            return False
        size *= len(renditions)
        if self._store is not None and not self._store.why_no_room(size):
            return False
        return size + (kept if on_gpu else 0) > part

    def _part_of_free(self, views: Views, renditions: Sequence[int]) -> float:
        pixels = len(views) * len(renditions) * 3 * views.image_size**2
        return math.inf if pixels < _LITTLE else psutil.virtual_memory().available // PARTS

    def image_bytes(self, image_size: int) -> int:
        """The bytes of the output on an image."""
        image = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
        return apply_prefix(self._prefix, image, self.device).nbytes

    @property
    def _part_of_gpu(self) -> float:
        room = self.device.room
        return math.inf if room is None else room // PARTS

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

    Of a whole split it is in the chunks in which it is computed where it is kept.

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
