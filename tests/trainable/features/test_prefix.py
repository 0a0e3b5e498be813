"""What the frozen prefix makes of the views of a split."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.features import COUNT, SIZE, prefix_of, views
from trainable.augment.views import Views
from trainable.device import Device
from trainable.features.prefix import CHUNK, PrefixOutputs, as_tail_input
from trainable.network.cut_network import Normalize


def whole(prefix: nn.Sequential, source: Views, device: Device) -> Tensor:
    return PrefixOutputs(prefix, device).on(source, 0)


class Source(Views):
    """Notes which pieces of it were rendered."""

    asked: ClassVar[list[tuple[int, int]]] = []

    def render(self, rendition: int, start: int, stop: int) -> Tensor:
        self.asked.append((start, stop))
        return super().render(rendition, start, stop)


@pytest.mark.parametrize("depth", [0, 4])
def test_it_is_one_pass_per_chunk(depth: int, device: Device) -> None:
    prefix, source = prefix_of(depth), Source(views().images, "a", "none", SIZE)
    source.asked.clear()

    stored = whole(prefix, source, device)

    chunks = [(0, CHUNK), (CHUNK, COUNT)]
    assert source.asked == chunks
    with torch.no_grad():
        expected = [
            prefix(views().render(0, *chunk).contiguous(memory_format=torch.channels_last))
            for chunk in chunks
        ]
    assert torch.equal(as_tail_input(stored), torch.cat(expected))
    assert not stored.requires_grad


def test_maps_are_stored_with_channels_last(device: Device) -> None:
    stored = whole(prefix_of(4), views(), device)

    assert stored.shape == (COUNT, 4, 4, 64)
    assert stored.is_contiguous()
    assert as_tail_input(stored).shape == (COUNT, 64, 4, 4)
    assert as_tail_input(stored).data_ptr() == stored.data_ptr()


def test_pooled_vectors_are_stored_as_they_are(device: Device) -> None:
    stored = whole(prefix_of(0), views(), device)

    assert stored.shape == (COUNT, 512)
    assert as_tail_input(stored) is stored


def test_an_empty_prefix_passes_pixels_through(device: Device) -> None:
    stored = whole(prefix_of(5), views(), device)

    assert stored.dtype == torch.uint8
    assert torch.equal(as_tail_input(stored), views().render(0, 0, COUNT))


@pytest.mark.parametrize("depth", [0, 4])
def test_what_crosses_the_cut_is_of_the_devices_type(depth: int, device: Device) -> None:
    half = replace(device, dtype=torch.bfloat16)

    exact = whole(prefix_of(depth), views(count=8), device)
    rounded = whole(prefix_of(depth), views(count=8), half)

    assert (exact.dtype, rounded.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)


def test_what_crosses_the_cut_is_rounded_where_the_prefix_is_more_exact(
    device: Device,
) -> None:
    half = replace(device, dtype=torch.bfloat16)
    exact = Normalize()(views().render(0, 0, 8))

    rounded = whole(nn.Sequential(Normalize()), views(count=8), half)

    assert torch.equal(as_tail_input(rounded), exact.bfloat16())
