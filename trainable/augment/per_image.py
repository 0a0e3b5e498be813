"""torchvision's policies for one image at a time, on many images.

One by one, seeding takes longer than the operation on small images, and keeps a GPU waiting. So
the draws of all images come first, the same as torchvision's, and then each operation is
torchvision's own, on several images that have drawn it at the same strength.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import torch
import torchvision.transforms.v2 as transforms
from torch import Tensor

Operation = tuple[str, float]
"""The name of an operation in torchvision, and its strength."""

_ON_GPU: Final = 128
_ON_CPU: Final = 4
"""Images that an operation takes at once: equalizing needs twenty times their memory, and a CPU's
cache holds few."""


def change(transform: str, images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Change images in place, each as the policy would, had its seed been the global generator's.

    Args:
        transform: The policy's name in torchvision.
        images: uint8 of shape (n, 3, S, S).
        seeds: For each image, the seed of what it draws.
    """
    policy = _policy(transform)
    drawn = _draw(policy, seeds, images.shape[-1])
    at_once = _ON_CPU if images.device.type == "cpu" else _ON_GPU
    for step in range(len(drawn[0]) if drawn else 0):
        groups = _groups([operations[step] for operations in drawn])
        # All indices go to the device at once, since each transfer waits for it.
        order = torch.tensor([index for indices in groups.values() for index in indices])
        parts = order.to(images.device).split([len(indices) for indices in groups.values()])
        for (name, magnitude), members in zip(groups, parts, strict=True):
            if name == "Identity":
                continue
            for where in members.split(at_once):
                images[where] = policy._apply_image_or_video_transform(
                    images[where],
                    name,
                    magnitude,
                    interpolation=policy.interpolation,
                    fill=policy._fill,
                )
    return images


@cache
def _policy(transform: str) -> Any:
    return getattr(transforms, transform)()


def _draw(policy: Any, seeds: Sequence[int], size: int) -> list[tuple[Operation, ...]]:
    """What `policy` does to images of side `size`, were the global generator seeded for each."""
    space = {
        name: (None if (levels := make(policy.num_magnitude_bins, size, size)) is None
               else [float(level) for level in levels], signed)
        for name, (make, signed) in policy._AUGMENTATION_SPACE.items()
    }  # fmt: skip
    generator, names = torch.Generator(), tuple(space)
    rand = isinstance(policy, transforms.RandAugment)

    def uniform(stop: int) -> int:
        return int(torch.randint(stop, (), generator=generator))

    def operation() -> Operation:
        name = names[uniform(len(names))]
        levels, signed = space[name]
        if levels is None:
            return name, 0.0
        magnitude = levels[policy.magnitude if rand else uniform(len(levels))]
        negative = signed and torch.rand((), generator=generator).item() <= 0.5
        return name, -magnitude if negative else magnitude

    drawn = []
    for seed in seeds:
        generator.manual_seed(seed)
        drawn.append(tuple(operation() for _ in range(policy.num_ops if rand else 1)))
    return drawn


def _groups(operations: Sequence[Operation]) -> dict[Operation, list[int]]:
    """The operations there are, each with the indices of its images."""
    members: dict[Operation, list[int]] = defaultdict(list)
    for index, operation in enumerate(operations):
        members[operation].append(index)
    return members
