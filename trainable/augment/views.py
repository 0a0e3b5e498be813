"""Views: augmented renditions of a training split that are the same everywhere.

A *rendition* is the whole split after one draw of a policy. View `k` takes each image
from one rendition. Both are pure functions of (dataset fingerprint, policy, image size,
`k`): no trial, process or machine sees other pixels. That makes trials comparable, and
whatever a frozen network makes of a view a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torchvision.transforms.v2 as transforms
import torchvision.transforms.v2.functional as F
from torch import Tensor

from trainable.config import Policy
from trainable.data.sizes import fit
from trainable.seeding import generator

PER_IMAGE: Final = {
    "trivial": transforms.TrivialAugmentWide(),
    "rand": transforms.RandAugment(),
}
"""Policies that torchvision has for one image at a time."""


@dataclass(frozen=True, eq=False)
class Views:
    """The views of a split under a policy.

    Attributes:
        images: uint8 of shape (N, 3, R, R).
        fingerprint: Of the dataset the images come from.
        policy: Of the augmentation.
        image_size: Side S of the rendered images, in pixels.
        num_views: How many renditions a random policy has.
        mirror: Whether `flip_crop`, `trivial` and `rand` mirror images too.
        split: Name of the split, which tells its images from the dataset's others.
    """

    images: Tensor
    fingerprint: str
    policy: Policy = "none"
    image_size: int = 64
    num_views: int = 1
    mirror: bool = True
    split: str = "train"

    def __len__(self) -> int:
        return len(self.images)

    def key(self, rendition: int) -> dict[str, str | int | bool]:
        """All that determines the pixels of a rendition."""
        unchanged = self.policy == "flip" and rendition == 0
        return {
            "data": self.fingerprint,
            "split": self.split,
            "policy": "none" if unchanged else self.policy,
            "image_size": self.image_size,
            "mirror": self.mirror,
            "rendition": rendition,
        }

    def renditions_of(self, epoch: int) -> tuple[int, ...]:
        """The renditions that the view of `epoch` is made of."""
        match self.policy:
            case "none":
                return (0,)
            case "flip":
                return (0, 1)
            case _:
                return (epoch % self.num_views,)

    def choice(self, epoch: int) -> Tensor:
        """Which of :meth:`renditions_of` each image takes: int64 of shape (N,)."""
        if self.policy != "flip":
            return torch.zeros(len(self), dtype=torch.int64)
        draws = self._generator("choice", epoch % self.num_views)
        return torch.randint(2, (len(self),), generator=draws)

    def render(self, rendition: int, start: int, stop: int) -> Tensor:
        """Images `start` to `stop` of a rendition: uint8 of shape (stop - start, 3, S, S)."""
        images = self.images[start:stop]
        match self.policy:
            case "none":
                return fit(images, self.image_size)
            case "flip":
                plain = fit(images, self.image_size)
                return plain.flip(3) if rendition else plain
            case "flip_crop":
                return self._flip_crop(rendition, start, stop)
            case _:
                return self._augment_each(rendition, start, stop)

    def _generator(self, *key: object) -> torch.Generator:
        return generator(self.fingerprint, self.policy, self.image_size, *key)

    def _flip_crop(self, rendition: int, start: int, stop: int) -> Tensor:
        mirrored, places = self.places(self.draws(rendition)[start:stop])
        images = torch.where(
            mirrored[:, None, None, None], self.images[start:stop].flip(3), self.images[start:stop]
        )
        if images.shape[-1] > self.image_size:
            return _resized_crops(images, places, self.image_size)
        return fit(shifted(images, places), self.image_size)

    def draws(self, rendition: int) -> Tensor:
        """What decides the crops of a rendition: uniform in [0, 1), of shape (N, 5)."""
        return torch.rand(len(self), 5, generator=self._generator("crop", rendition))

    def places(self, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Which images are mirrored, and where each is cut.

        Returns:
            bool of shape (n,); and integers, of shape (n, 4) for boxes where images are larger
            than what the network sees, else of shape (n, 2) for :func:`shifted`.
        """
        mirrored, side = (draws[:, 0] < 0.5) & self.mirror, self.images.shape[-1]
        if side > self.image_size:
            return mirrored, _boxes(draws[:, 1:], side)
        return mirrored, (draws[:, 1:3] * (2 * _reach(side) + 1)).long()

    def seeds(self, rendition: int) -> Tensor:
        """Of the draws of `trivial` and `rand`, for each image: int64 of shape (N,)."""
        return torch.randint(2**31, (len(self),), generator=self._generator("augment", rendition))

    def _augment_each(self, rendition: int, start: int, stop: int) -> Tensor:
        cropped = self._flip_crop(rendition, start, stop)
        augment = PER_IMAGE[self.policy]
        # torchvision's policies draw from the global generator alone.
        with torch.random.fork_rng(devices=[]):
            for index, seed in enumerate(self.seeds(rendition)[start:stop].tolist()):
                torch.manual_seed(seed)
                cropped[index] = augment(cropped[index])
        return cropped


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


def _resized_crops(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """A box of each image, at `size`.

    Args:
        images: uint8 of shape (n, 3, R, R).
        boxes: By :func:`_boxes`.
        size: Side S of the result, in pixels.
    """
    return torch.stack(
        [
            F.resized_crop(image, *box, [size, size], antialias=True)
            for image, box in zip(images, boxes.tolist(), strict=True)
        ]
    )
