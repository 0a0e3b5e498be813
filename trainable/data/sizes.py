"""At which size images are stored, and how they come to the size that a network sees."""

from __future__ import annotations

import torchvision.transforms.v2.functional as F
from torch import Tensor


def stored_side(size: int) -> int:
    """The side at which photographs are stored for a network that sees `size`: 256 for 224."""
    return round(size * 8 / 7)


def fit(images: Tensor, size: int) -> Tensor:
    """Images at the network's size, without augmentation.

    Larger ones are reduced to 8/7 of it and cut to their centre, smaller ones enlarged.

    Args:
        images: uint8 of shape (N, 3, R, R).
        size: Side S wanted, in pixels.

    Returns:
        uint8 of shape (N, 3, S, S).
    """
    side = images.shape[-1]
    if side <= size:
        return F.resize(images, [size, size], antialias=True)
    if side > (roomy := stored_side(size)):
        images = F.resize(images, [roomy, roomy], antialias=True)
    return F.center_crop(images, [size, size])
