"""Gradients of convolutions that see one pixel."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainable.device import resolve_device
from trainable.network.cut_network import CutNetwork, build
from trainable.network.one_pixel import mend_gradients


def of_random_weights() -> CutNetwork:
    network = build("resnet18", num_classes=10, depth=2)
    for part in (network.prefix, network.tail):
        part.to(memory_format=torch.channels_last)
    return network


def gradients(network: CutNetwork, side: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Of one batch, in memory that held NaN before."""
    pixels = torch.rand(64, 3, side, side, generator=torch.Generator().manual_seed(0)) * 255
    network.tail.train().zero_grad()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        loss = network.whole(pixels).float().square().mean()
    poison = [torch.full((2**k,), float("nan")) for k in range(6, 23)]
    del poison
    loss.backward()
    return {name: each.grad.clone() for name, each in network.tail.named_parameters()}


@pytest.mark.parametrize("side", [pytest.param(16, marks=pytest.mark.slow), 32])
def test_in_bfloat16_weights_that_meet_no_pixel_have_none(side: int) -> None:
    resolve_device("bf16", use_gpu=False)  # which keeps freed memory, with what was in it
    network = of_random_weights()
    exact = gradients(network, side, torch.float32)
    mend_gradients(network, side)
    for _ in range(3):
        found = gradients(network, side, torch.bfloat16)
        for name, gradient in exact.items():
            assert found[name].isfinite().all(), name
            if gradient.ndim == 4:
                unmet = (gradient == 0).all(0).all(0)
                assert not found[name][:, :, unmet].any(), name


def test_no_image_is_learnt_from_to_find_them() -> None:
    network = of_random_weights()
    before = {name: each.clone() for name, each in network.net.state_dict().items()}
    network.tail.train()
    mend_gradients(network, 16)
    assert network.tail.training
    after = network.net.state_dict()
    assert all(torch.equal(each, after[name]) for name, each in before.items())


class PaddedByItself(nn.Conv2d):
    """As some of timm's: what it pads is not in `padding`."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(images, (1, 1, 1, 1)))


def test_the_weights_that_count_are_found_however_a_convolution_pads() -> None:
    convolution = PaddedByItself(3, 4, 3, stride=2)
    network = SimpleNamespace(tail=nn.Sequential(convolution), whole=convolution)
    mend_gradients(network, 1)
    convolution(torch.ones(2, 3, 1, 1)).sum().backward()
    counts = (convolution.weight.grad != 0).flatten(0, 1).any(0)
    assert counts.nonzero().tolist() == [[1, 1]]
