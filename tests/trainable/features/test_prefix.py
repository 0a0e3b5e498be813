"""What the frozen prefix makes of the views of a split."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from trainable.augment.views import Views
from trainable.config import Policy
from trainable.device import Device
from trainable.features.prefix import (
    CHUNK,
    Activations,
    PrefixOutputs,
    as_tail_input,
)
from trainable.network.cut_network import Normalize, build

COUNT = CHUNK + 20
SIZE = 16


def views(policy: Policy = "none", count: int = COUNT, num_views: int = 2) -> Views:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return Views(images, "a", policy, SIZE, num_views)


def whole(prefix: nn.Sequential, source: Views, device: Device) -> Tensor:
    return PrefixOutputs(prefix, device).on(source, 0)


def prefix_of(depth: int) -> nn.Sequential:
    return build("resnet18", num_classes=3, depth=depth).prefix


class Source(Views):
    """Notes which pieces of it were rendered."""

    asked: ClassVar[list[tuple[int, int]]] = []

    def render(self, rendition: int, start: int, stop: int) -> Tensor:
        self.asked.append((start, stop))
        return super().render(rendition, start, stop)


@pytest.fixture
def passes() -> list[int]:
    """The size of each batch that went through :func:`counted`."""
    return []


@pytest.fixture
def counted(passes: list[int]) -> nn.Sequential:
    """The stem, which notes what goes through it."""
    prefix = prefix_of(4)
    prefix.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    return prefix


class TestPrefixOutputs:
    @pytest.mark.parametrize("depth", [0, 4])
    def test_it_is_one_pass_per_chunk(self, depth: int, device: Device) -> None:
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

    def test_maps_are_stored_with_channels_last(self, device: Device) -> None:
        stored = whole(prefix_of(4), views(), device)

        assert stored.shape == (COUNT, 4, 4, 64)
        assert stored.is_contiguous()
        assert as_tail_input(stored).shape == (COUNT, 64, 4, 4)
        assert as_tail_input(stored).data_ptr() == stored.data_ptr()

    def test_pooled_vectors_are_stored_as_they_are(self, device: Device) -> None:
        stored = whole(prefix_of(0), views(), device)

        assert stored.shape == (COUNT, 512)
        assert as_tail_input(stored) is stored

    def test_an_empty_prefix_passes_pixels_through(self, device: Device) -> None:
        stored = whole(prefix_of(5), views(), device)

        assert stored.dtype == torch.uint8
        assert torch.equal(as_tail_input(stored), views().render(0, 0, COUNT))

    @pytest.mark.parametrize("depth", [0, 4])
    def test_what_crosses_the_cut_is_of_the_devices_type(self, depth: int, device: Device) -> None:
        half = replace(device, dtype=torch.bfloat16)

        exact = whole(prefix_of(depth), views(count=8), device)
        rounded = whole(prefix_of(depth), views(count=8), half)

        assert (exact.dtype, rounded.dtype) == (torch.float32, torch.bfloat16)
        torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)

    def test_what_crosses_the_cut_is_rounded_where_the_prefix_is_more_exact(
        self, device: Device
    ) -> None:
        half = replace(device, dtype=torch.bfloat16)
        exact = Normalize()(views().render(0, 0, 8))

        rounded = whole(nn.Sequential(Normalize()), views(count=8), half)

        assert torch.equal(as_tail_input(rounded), exact.bfloat16())


class TestActivations:
    def test_a_batch_is_the_stored_images_in_the_order_asked_for(self, device: Device) -> None:
        activations = Activations(views(), PrefixOutputs(prefix_of(4), device))
        activations.set_epoch(0)
        indices = torch.tensor([5, 0, COUNT - 1, 5])

        everything = whole(prefix_of(4), views(), device)

        assert torch.equal(activations.batch(indices), as_tail_input(everything)[indices])

    def test_a_batch_takes_each_image_from_the_rendition_it_chose(self, device: Device) -> None:
        flip = views("flip", num_views=3)
        activations = Activations(flip, PrefixOutputs(prefix_of(5), device))
        indices = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))[:100]
        plain, mirrored = (flip.render(rendition, 0, COUNT) for rendition in (0, 1))

        for epoch in range(4):
            activations.set_epoch(epoch)
            batch = activations.batch(indices)

            chosen = flip.choice(epoch).bool()[:, None, None, None]
            assert torch.equal(batch, torch.where(chosen, mirrored, plain)[indices])

    def test_a_batch_may_be_written_to(self, device: Device) -> None:
        activations = Activations(views("flip"), PrefixOutputs(prefix_of(4), device))
        activations.set_epoch(0)
        before = activations.batch(torch.arange(9)).clone()

        activations.batch(torch.arange(9)).zero_()

        assert torch.equal(activations.batch(torch.arange(9)), before)

    @pytest.mark.parametrize(("policy", "renditions"), [("none", 1), ("flip", 2)])
    def test_the_renditions_of_a_policy_with_few_are_computed_once(
        self,
        policy: Policy,
        renditions: int,
        device: Device,
        counted: nn.Sequential,
        passes: list[int],
    ) -> None:
        activations = Activations(views(policy, 20), PrefixOutputs(counted, device))

        for epoch in range(5):
            activations.set_epoch(epoch)

        assert passes == [20] * renditions

    def test_only_the_current_rendition_of_a_random_policy_is_kept(
        self, device: Device, counted: nn.Sequential, passes: list[int]
    ) -> None:
        activations = Activations(views("flip_crop", 20), PrefixOutputs(counted, device))
        made = []

        for epoch in (0, 0, 1, 2, 2):
            activations.set_epoch(epoch)
            made.append(len(passes))

        assert made == [1, 1, 2, 3, 3]

    def test_a_random_policy_gives_the_rendition_of_the_epoch(self, device: Device) -> None:
        crops = views("flip_crop")
        activations = Activations(crops, PrefixOutputs(prefix_of(5), device))

        for epoch in range(3):
            activations.set_epoch(epoch)
            expected = crops.render(epoch % 2, 0, COUNT)
            assert torch.equal(activations.batch(torch.arange(COUNT)), expected)
