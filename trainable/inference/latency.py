"""How long a classifier takes for an image."""

from __future__ import annotations

import time
from typing import Final

import torch
from torch import nn

_TIMED: Final = 7


@torch.inference_mode()
def seconds_an_image(answering: nn.Module, side: int) -> float:
    """The seconds of one image alone, as it is served: the least of a few passes.

    Args:
        answering: What answers to images, in evaluation mode.
        side: Of an image, in pixels.
    """
    image = torch.zeros((1, 3, side, side), dtype=torch.uint8)
    image = image.contiguous(memory_format=torch.channels_last)
    found = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        answering(image)
        found.append(time.perf_counter() - start)
    return float(f"{min(found):.3g}")
