"""Where random crops are cut, and how a CPU cuts them."""

from __future__ import annotations

import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

NUM_DRAWS = 5
"""How many numbers decide the crop of an image: mirror, area, aspect ratio, top, left."""


def places(draws: Tensor, side: int, size: int) -> tuple[Tensor, Tensor]:
    """Which images are mirrored, and where each is cut.

    Args:
        draws: Uniform in [0, 1), of shape (n, 5).
        side: Side R of the images, in pixels.
        size: Side S that the network sees.

    Returns:
        bool of shape (n,); and integers, of shape (n, 4) for boxes (:func:`resized_crops`) where
        images are larger than what the network sees, else of shape (n, 2) for :func:`shifted`.
    """
    mirrored = draws[:, 0] < 0.5
    if side > size:
        return mirrored, _boxes(draws[:, 1:], side)
    return mirrored, (draws[:, 1:3] * (2 * _reach(side) + 1)).long()


def shifted(images: Tensor, offsets: Tensor) -> Tensor:
    """Each image moved by up to an eighth of its side, the rim mirrored.

    Args:
        images: uint8 of shape (n, 3, R, R).
        offsets: int64 of shape (n, 2), from 0 to twice the eighth: down, right.
    """
    side = images.shape[-1]
    padded = F.pad(images, [_reach(side)] * 4, padding_mode="reflect")
    along = torch.arange(side, device=images.device)
    rows, cols = offsets[:, :1] + along, offsets[:, 1:] + along
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[batch, :, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)


def resized_crops(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """A box of each image, at `size`.

    Args:
        images: uint8 of shape (n, 3, R, R).
        boxes: int32 of shape (n, 4): top, left, height, width.
        size: Side S of the result, in pixels.
    """
    return torch.stack(
        [
            F.resized_crop(image, *box, [size, size], antialias=True)
            for image, box in zip(images, boxes.tolist(), strict=True)
        ]
    )


def _reach(side: int) -> int:
    return max(1, side // 8)


def _boxes(draws: Tensor, side: int) -> Tensor:
    """A random quarter to the whole of each image (Szegedy et al. 2015).

    Args:
        draws: Uniform in [0, 1), of shape (n, 4): area, aspect ratio, top, left.
        side: Side R of the images, in pixels.

    Returns:
        int32 of shape (n, 4): top, left, height, width.
    """
    area = (0.25 + 0.75 * draws[:, 0]) * side**2
    ratio = torch.exp((2 * draws[:, 1] - 1) * torch.log(torch.tensor(4 / 3)))
    heights = (area / ratio).sqrt().round().clamp(1, side).int()
    widths = (area * ratio).sqrt().round().clamp(1, side).int()
    tops = (draws[:, 2] * (side - heights + 1)).int()
    lefts = (draws[:, 3] * (side - widths + 1)).int()
    return torch.stack([tops, lefts, heights, widths], dim=1)
