"""The order in which an epoch shows the training images."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """As many images as there are, with every class equally often.

    Which classes have the one image more that may be left over, and which images of a large class
    are shown, is drawn anew each epoch. Of a small class each image is shown equally often, but for
    one more.

    Args:
        labels: The classes of the images, int64 of shape (N,). One may have no image.
        generator: Decides what is drawn.

    Returns:
        Indices of shape (N,).
    """
    classes = labels.unique()
    share, rest = divmod(len(labels), len(classes))
    more = set(torch.randperm(len(classes), generator=generator)[:rest].tolist())
    shown = [
        _repeated((labels == label).nonzero().squeeze(1), share + (number in more), generator)
        for number, label in enumerate(classes)
    ]
    return torch.cat(shown)[torch.randperm(len(labels), generator=generator)]


def _repeated(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """So many of the images, all of them once more before any comes again."""
    rounds = -(-count // len(images))
    orders = [
        images[torch.randperm(len(images), generator=generator)] for _ in range(max(rounds, 1))
    ]
    return torch.cat(orders)[:count]
