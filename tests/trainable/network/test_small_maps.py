"""Convolutions of small maps as one matrix product."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainable.network.cut_network import build
from trainable.network.small_maps import Im2colConv2d, gather_small_maps


def both(kernel: tuple[int, int], **words: int | tuple[int, int]) -> tuple[nn.Conv2d, Im2colConv2d]:
    """A convolution of random weights, and the same that gathers."""
    torch.manual_seed(0)
    plain = nn.Conv2d(16, 128, kernel, dtype=torch.float64, **words)  # type: ignore[arg-type]
    ours = copy.deepcopy(nn.Sequential(plain))
    gather_small_maps(ours)
    (found,) = ours
    assert isinstance(found, Im2colConv2d)
    return plain, found


def learned(convolution: nn.Conv2d, maps: Tensor) -> list[Tensor]:
    """What it makes of maps, and the gradients of that."""
    inputs = maps.clone().requires_grad_()
    made = convolution(inputs)
    weights = torch.linspace(0, 1, made.numel(), dtype=made.dtype).view_as(made)
    assert convolution.bias is not None
    wanted = [inputs, convolution.weight, convolution.bias]
    return [made, *torch.autograd.grad((made * weights).sum(), wanted)]


@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
@settings(max_examples=60, deadline=None)
def test_it_is_the_convolution_and_has_its_gradients(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> None:
    wide_enough = zip(size, kernel, padding, strict=True)
    if any(side + 2 * beside < seen for side, seen, beside in wide_enough):
        return
    plain, ours = both(kernel, stride=stride, padding=padding)
    maps = torch.rand(2, 16, *size, dtype=torch.float64)
    for wanted, found in zip(learned(plain, maps), learned(ours, maps), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_small_maps_are_multiplied_and_large_ones_convolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, ours = both((3, 3), padding=1)
    convolved = list[int]()
    convolve = nn.Conv2d.forward

    def noted(self: nn.Conv2d, maps: Tensor) -> Tensor:
        convolved.append(len(maps))
        return convolve(self, maps)

    monkeypatch.setattr(nn.Conv2d, "forward", noted)
    for images in (4, 5):  # of 16 pixels each, for 16 channels and 128 filters: at 64 pixels
        maps = torch.rand(images, 16, 4, 4, dtype=torch.float64)
        torch.testing.assert_close(ours(maps), plain(maps), rtol=1e-10, atol=1e-10)
    assert convolved == [4, 5, 5]


def test_in_bfloat16_it_is_as_exact_as_the_convolution() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    ours = copy.deepcopy(nn.Sequential(plain))
    gather_small_maps(ours)
    maps = torch.rand(32, 256, 2, 2).contiguous(memory_format=torch.channels_last)
    wanted = plain(maps)
    with torch.autocast("cpu", torch.bfloat16):
        convolved, multiplied = plain(maps), ours(maps)
    assert multiplied.dtype == torch.bfloat16
    assert multiplied.is_contiguous(memory_format=torch.channels_last)
    worst = (convolved - wanted).abs().max()
    assert (multiplied - wanted).abs().max() <= 1.5 * worst


def test_a_network_keeps_its_weights_and_shares_them_with_its_tail() -> None:
    network = build("resnet18", num_classes=10, depth=2)
    before = {name: each.data_ptr() for name, each in network.net.state_dict().items()}
    gather_small_maps(network.tail)
    assert {name: each.data_ptr() for name, each in network.net.state_dict().items()} == before
    changed = {n for n, each in network.net.named_modules() if isinstance(each, Im2colConv2d)}
    assert {"layer3.0.conv1", "layer4.1.conv2", "layer4.0.downsample.0"} <= changed
    assert not any(name.startswith(("conv1", "layer1", "layer2")) for name in changed)


class PaddedByItself(nn.Conv2d):
    """As some of timm's."""


@pytest.mark.parametrize(
    "convolution",
    [
        PaddedByItself(4, 4, 3),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ],
    ids=["a class of another's", "groups", "dilation", "padding by name", "mirrored rim"],
)
def test_what_it_does_not_know_is_left_alone(convolution: nn.Conv2d) -> None:
    before = type(convolution)
    gather_small_maps(nn.Sequential(convolution))
    assert type(convolution) is before
