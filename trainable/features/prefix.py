"""What the frozen prefix makes of a split: computed in chunks, in storage order.

An activation is a constant of (view, weights, depth, precision). To keep it one, it is
always computed in the same chunks and rounded to the storage type, whether it is then
stored or not.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from trainable.augment.device_views import DeviceViews
from trainable.augment.views import Views
from trainable.device import Device
from trainable.features.chunks import Chunks
from trainable.features.store import ArrayStore
from trainable.network.weights import network_hash

CHUNK: Final = 128
"""Images that pass through a network at once."""

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
    return _to_storage(_forward(prefix, pixels.to(device.torch_device), device), device)


@torch.no_grad()
def _forward(prefix: nn.Sequential, pixels: Tensor, device: Device) -> Tensor:
    with device.autocast():
        return prefix(pixels.contiguous(memory_format=torch.channels_last))


def _to_storage(output: Tensor, device: Device) -> Tensor:
    if output.dtype != torch.uint8:
        output = output.to(device.dtype)
    return _channels_last(output)


def _channels_last(output: Tensor) -> Tensor:
    return output.permute(0, 2, 3, 1).contiguous() if output.ndim == 4 else output


class PrefixOutputs:
    """A frozen prefix with the store of what it made of things.

    Args:
        prefix: Frozen stages, in eval mode.
        device: Where it computes.
        store: Where its outputs are kept; None computes each time.
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
        self.device = device
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

        def compute(start: int, stop: int) -> Tensor:
            pixels = views.render(rendition, start, stop)
            return apply_prefix(self._prefix, pixels, self.device)

        if self._store is None:
            return Chunks(len(views), CHUNK, compute).whole(self._allocate)
        stored = self._store.get(
            {**self._identity, **views.key(rendition)},
            Chunks(len(views), CHUNK, lambda start, stop: compute(start, stop).cpu()),
        )
        if not self.device.is_gpu:
            return stored
        return self._allocate(tuple(stored.shape), dtype=stored.dtype).copy_(stored)


class Activations:
    """The prefix's output on the views of a training split.

    The renditions of the current view are kept, so that a policy with few of them pays
    for each once. On a GPU an empty prefix keeps none: there a batch is rendered as it is asked
    for, which takes less time than its training and far less memory than a rendition.
    """

    def __init__(self, views: Views, outputs: PrefixOutputs) -> None:
        self._views, self._outputs = views, outputs
        self._device = outputs.device
        self._kept: dict[int, Tensor] = {}
        self._wanted: tuple[int, ...] = ()
        self._choice = torch.empty(0, dtype=torch.int64)
        self._rendered = (
            views
            if isinstance(views, DeviceViews) and views.in_any_order and outputs.are_pixels
            else None
        )

    @property
    def kept(self) -> list[Tensor]:
        """What is kept of the current view."""
        return list(self._kept.values())

    def set_epoch(self, epoch: int) -> None:
        """Make the view of `epoch` the one that :meth:`batch` draws from."""
        self._wanted = self._views.renditions_of(epoch)
        self._choice = self._views.choice(epoch).to(self._device.torch_device)
        if self._rendered is not None:
            return
        self._kept = {r: self._kept[r] for r in self._wanted if r in self._kept}
        for rendition in self._wanted:
            if rendition not in self._kept:
                self._kept[rendition] = self._outputs.on(self._views, rendition)

    def batch(self, indices: Tensor) -> Tensor:
        """The activations of images `indices` (int64, on the device), ready for the tail.

        Returns:
            Of shape (n, C, H, W), channels last in memory, or (n, C).
        """
        first, *others = self._wanted
        out = self._rows(first, indices)
        for number, rendition in enumerate(others, start=1):
            taken = self._choice[indices] == number
            if self._device.is_gpu:  # without asking how many they are, which would wait for it
                rows = self._rows(rendition, indices)
                out = torch.where(taken.view(-1, *[1] * (out.ndim - 1)), rows, out)
            else:
                where = taken.nonzero().squeeze(1)
                out[where] = self._rows(rendition, indices[where])
        return as_tail_input(out)

    def _rows(self, rendition: int, indices: Tensor) -> Tensor:
        """Images `indices` of a rendition, as they are stored."""
        if self._rendered is not None:
            return _channels_last(self._rendered.render_at(rendition, indices))
        kept = self._kept[rendition]
        return kept[indices.to(kept.device)].to(self._device.torch_device)


def as_tail_input(stored: Tensor) -> Tensor:
    """Stored activations (N, H, W, C) seen as (N, C, H, W), without a copy."""
    return stored.permute(0, 3, 1, 2) if stored.ndim == 4 else stored
