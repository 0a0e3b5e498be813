"""torchvision's policies on many images are what torchvision makes of each."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2 as transforms
from torch import Tensor

from trainable.augment.per_image import change

COUNT = 300
"""Images: enough for each operation to be drawn often, at several strengths."""


def images(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    coarse = torch.rand(COUNT, 3, 5, 5, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, size=(side, side)).to(torch.uint8)


@pytest.mark.parametrize("side", [17, 32])
@pytest.mark.parametrize("transform", ["TrivialAugmentWide", "RandAugment"])
def test_each_image_is_torchvisions_to_the_pixel(transform: str, side: int) -> None:
    originals, seeds = images(side), list(range(1000, 1000 + COUNT))
    policy = getattr(transforms, transform)()
    expected = originals.clone()
    with torch.random.fork_rng(devices=[]):
        for index, seed in enumerate(seeds):
            torch.manual_seed(seed)
            expected[index] = policy(originals[index])

    found = change(transform, originals.clone(), seeds)

    assert torch.equal(found, expected)
    assert not torch.equal(found, originals)


def test_the_global_generator_stays_as_it_was() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()

    change("RandAugment", images(16), list(range(COUNT)))

    assert torch.equal(torch.get_rng_state(), before)


def test_no_image_is_no_error() -> None:
    assert change("RandAugment", images(16)[:0], []).shape == (0, 3, 16, 16)
