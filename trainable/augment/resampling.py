"""Boxes of images at another size, many at once: what a GPU does best, products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def resampled(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """A box of each image at a size, by linear interpolation with antialiasing.

    As torchvision's `resized_crop`, but for a batch with a box for each image. It is computed
    in half precision, which holds all 256 levels exactly and is what GPUs multiply fastest.

    Args:
        images: uint8 of shape (n, 3, R, R).
        boxes: Integers of shape (n, 4), or (1, 4) for one box of all: top, left, height, width.
        size: Side S of the result, in pixels.

    Returns:
        uint8 of shape (n, 3, S, S).
    """
    top, left, height, width = boxes.to(images.device, torch.float32).unbind(1)
    side = images.shape[-1]
    rows, cols = _weights(top, height, side, size), _weights(left, width, side, size)
    pixels = rows[:, None] @ images.half() @ cols[:, None].mT
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def _weights(first: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Weights that make `size` pixels of the `length` pixels from `first` on, for each image.

    A pixel of the result is the mean of those under a triangle around its centre, whose half is
    as wide as a pixel of either side, whichever is the wider, as PyTorch has it for `antialias`.

    Returns:
        float16 of shape (n, size, side); each row adds up to 1.
    """
    scale = length / size
    centres = (torch.arange(size, device=first.device) + 0.5) * scale[:, None]
    places = torch.arange(side, device=first.device) + 0.5 - first[:, None]
    inside = (places > 0) & (places < length[:, None])
    distance = (places[:, None, :] - centres[:, :, None]).abs()
    weights = (1 - distance / scale.clamp(min=1)[:, None, None]).clamp(min=0) * inside[:, None, :]
    return (weights / weights.sum(2, keepdim=True)).half()
