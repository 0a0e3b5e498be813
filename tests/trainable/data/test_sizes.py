"""How images come to the size that a network sees."""

from __future__ import annotations

import torch
from torch import Tensor

from trainable.data.sizes import fit, stored_side

SIZE = 16


def noise(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    return torch.randint(256, (9, 3, side, side), generator=generator, dtype=torch.uint8)


def test_a_slightly_larger_image_is_cut_to_its_centre() -> None:
    images = noise(stored_side(SIZE))

    assert torch.equal(fit(images, SIZE), images[:, :, 1:17, 1:17])


def test_a_much_larger_image_is_reduced_before_it_is_cut() -> None:
    images = torch.zeros(1, 3, 96, 96, dtype=torch.uint8)
    images[..., 24:72, 24:72] = 255

    bright = fit(images, SIZE)[0, 0, SIZE // 2] > 200

    assert bright.sum() == 8  # 9 of the 18 pixels it is reduced to, less the blurred rims


def test_an_image_of_the_size_is_left_alone() -> None:
    assert torch.equal(fit(noise(SIZE), SIZE), noise(SIZE))


def test_a_smaller_image_is_enlarged() -> None:
    ramp = torch.linspace(0, 255, 8).to(torch.uint8)

    enlarged = fit(ramp.expand(1, 3, 8, 8), SIZE)

    assert enlarged.shape == (1, 3, SIZE, SIZE)
    assert enlarged.dtype == torch.uint8
    assert (enlarged[0, 0].int().diff(dim=1) >= 0).all()
    assert (enlarged.amin(), enlarged.amax()) == (0, 255)
