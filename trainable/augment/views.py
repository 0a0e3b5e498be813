"""Views: augmented renditions of a training split that are the same everywhere.

A *rendition* is the whole split after one draw of a policy. View `k` takes each image
from one rendition. Both are pure functions of (dataset fingerprint, policy, image size,
`k`): no trial, process or machine sees other pixels. That makes trials comparable, and
whatever a frozen network makes of a view a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from trainable.augment import crops
from trainable.config import Policy
from trainable.data.sizes import fit
from trainable.data.stored import Images
from trainable.registries import POLICIES
from trainable.seeding import generator

Which: TypeAlias = slice | Tensor
"""Some images of a split: a slice, or their indices, int64 of shape (n,)."""


@dataclass(frozen=True, eq=False)
class Views:
    """The views of a split under a policy.

    Attributes:
        images: uint8 of shape (N, 3, R, R); a tensor, or what stands for one.
        fingerprint: The fingerprint of the dataset that the images come from.
        policy: The name of the policy, by which :mod:`trainable.augment.policies` has it.
        image_size: Side S of the rendered images, in pixels.
        num_views: How many renditions a random policy has.
        mirror: Whether crops are mirrored too.
        split: Name of the split, which tells its images from the dataset's others.
    """

    images: Images
    fingerprint: str
    policy: Policy = "none"
    image_size: int = 64
    num_views: int = 1
    mirror: bool = True
    split: str = "train"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def augmentation(self) -> Any:
        """The policy: an :class:`~trainable.augment.policies.Augmentation`."""
        return POLICIES[self.policy]()

    def key(self, rendition: int) -> dict[str, str | int | bool]:
        """All that determines the pixels of a rendition."""
        return {
            "data": self.fingerprint,
            "split": self.split,
            "policy": self.augmentation.key(self.policy, rendition),
            "image_size": self.image_size,
            "mirror": self.mirror,
            "rendition": rendition,
        }

    def renditions_of(self, epoch: int) -> tuple[int, ...]:
        """The renditions that the view of `epoch` is made of."""
        return self.augmentation.renditions_of(epoch, self.num_views)

    def choice(self, epoch: int) -> Tensor:
        """Which of :meth:`renditions_of` each image takes: int64 of shape (N,)."""
        return self.augmentation.choice(self, epoch)

    def render(self, rendition: int, start: int, stop: int) -> Tensor:
        """Images `start` to `stop` of a rendition: uint8 of shape (stop - start, 3, S, S)."""
        return self.augmentation.render(self, rendition, slice(start, stop))

    @property
    def in_any_order(self) -> bool:
        """Whether a GPU's :meth:`render_at` takes this policy."""
        return self.augmentation.in_any_order

    def render_at(self, rendition: int, indices: Tensor) -> Tensor:
        """Images `indices` (int64 of shape (n,)) of a rendition.

        On a GPU only of policies whose images come :attr:`in_any_order`.
        """
        return self.augmentation.render(self, rendition, indices)

    # What follows is for policies.

    def generator(self, *purpose: object) -> torch.Generator:
        """A generator for one purpose of the policy, the same everywhere."""
        return generator(self.fingerprint, self.policy, self.image_size, *purpose)

    def integers(self, stop: int, *purpose: object) -> Tensor:
        """A number from 0 to below `stop` for each image: int64 of shape (N,)."""
        return torch.randint(stop, (len(self),), generator=self.generator(*purpose))

    def fitted(self, which: Which) -> Tensor:
        """Images at the network's size, without augmentation: uint8 of shape (n, 3, S, S)."""
        return self._fit(self._stored(which))

    def cropped(self, rendition: int, which: Which) -> Tensor:
        """Images cropped at random, and mirrored where that keeps labels: as :meth:`fitted`."""
        images, (mirrored, places) = self._stored(which), self._crops(rendition, which)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        if images.shape[-1] > self.image_size:
            return self._cut(images, places)
        return self._fit(crops.shifted(images, places))

    # What follows is done otherwise on a GPU.

    def _stored(self, which: Which) -> Tensor:
        return self.images[which]

    def _fit(self, images: Tensor) -> Tensor:
        return fit(images, self.image_size)

    def _cut(self, images: Tensor, boxes: Tensor) -> Tensor:
        return crops.resized_crops(images, boxes, self.image_size)

    def _crops(self, rendition: int, which: Which) -> tuple[Tensor, Tensor]:
        """Which images are mirrored, and where each is cut, as :func:`crops.places` says it."""
        shape = (len(self), crops.NUM_DRAWS)
        draws = torch.rand(shape, generator=self.generator("crop", rendition))[which]
        mirrored, places = crops.places(draws, self.images.shape[-1], self.image_size)
        return mirrored & self.mirror, places
