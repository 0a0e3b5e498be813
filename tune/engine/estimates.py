"""What images, and what frozen layers make of them, will take, said before the first trial."""

from __future__ import annotations

import math
from typing import Final

import psutil
import torch

from trainable.data.datasets import Dataset
from trainable.data.parts import SPLITS
from trainable.data.stored import Rows
from trainable.device import cpu_precision
from trainable.network.cut_network import build
from trainable.registries import POLICIES
from tune.config.schema import SearchConfig
from tune.config.walk import possible

_GB: Final = 10**9
_MOST_BYTES: Final = 64
"""The bytes of an output for each pixel of an image, more than in any known network."""


def estimates(config: SearchConfig, dataset: Dataset) -> list[str]:
    """What takes more than a gigabyte, and what there is no room for, in a line each."""
    splits = [dataset.split(name).images for name in SPLITS]
    decoded = sum(images.nbytes for images in splits if isinstance(images, Rows))
    lines = [_of_decoded(config, decoded)] if decoded > _GB else []
    return [*lines, *outputs_too_large(config, len(dataset.train), len(dataset.classes))]


def _of_decoded(config: SearchConfig, size: int) -> str:
    told = f"{_gb(size)} of decoded images (cache.images_gb={config.cache.images_gb:g})"
    free = psutil.virtual_memory().available
    if size <= free:
        return told
    return (
        f"{told}, more than memory has free ({_gb(free)}), so that an epoch that reads all of them "
        "waits for the disk; lower data.limit or data.image_size"
    )


def outputs_too_large(config: SearchConfig, images: int, classes: int) -> list[str]:
    """That the cache has no room for what frozen layers make of the training images, if so.

    Args:
        config: The search. One on a GPU computes it as it trains.
        images: How many training images there are.
        classes: How many classes there are.
    """
    cap, on_gpu = config.cache.max_bytes(on_gpu=False), config.resources.gpu != 0
    most = images * config.data.image_size**2 * _MOST_BYTES
    if (on_gpu and torch.cuda.is_available()) or most <= max(cap, _GB):
        return []
    depths = possible(config.space, config.own, "model.unfreeze_depth")
    sizes = {int(depth): images * _output_bytes(config, int(depth), classes) for depth in depths}
    depth, size = max(sizes.items(), key=lambda pair: pair[1])
    if size <= max(cap, _GB):
        return []
    more = f"raise cache.max_gb to {math.ceil(2 * size / _GB)}, or " if cap else ""
    free = psutil.virtual_memory().available
    return [
        f"model.unfreeze_depth={depth}: a view takes {_gb(size)}, more than the cache may hold "
        f"({_gb(cap)}), so that each trial holds it in memory, or, over a quarter of what is free "
        f"({_gb(free)} now), computes it again with each batch; {more}lower data.limit or "
        "data.image_size"
    ]


def _output_bytes(config: SearchConfig, depth: int, classes: int) -> int:
    """The bytes of what enters the trained layers of an image, at most; 0 if nothing is kept."""
    pixels = torch.zeros(1, 3, config.data.image_size, config.data.image_size, dtype=torch.uint8)
    half = cpu_precision(config.resources.cpu_precision) == "bf16"
    found = []
    for arch in config.archs:
        prefix = build(arch, classes, depth).prefix.eval()
        if len(prefix):
            with torch.no_grad():
                found.append(prefix(pixels).numel() * (2 if half else 4))
        elif not all(POLICIES[str(name)]().in_any_order for name in _policies(config)):
            found.append(pixels.numel())
    return max(found, default=0)


def _policies(config: SearchConfig) -> list[object]:
    return list(possible(config.space, config.own, "augment.policy"))


def _gb(size: float) -> str:
    return f"{size / _GB:.1f} GB"
