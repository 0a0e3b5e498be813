"""The policies by which training images vary: all that there is to know of each, in one class.

To add one, register a subclass of :class:`Augmentation` here, or in a module that `TUNE_PLUGINS`
lists. This module does not load PyTorch, so that a config is checked before it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from trainable.registries import POLICIES

if TYPE_CHECKING:
    from torch import Tensor

    from trainable.augment.views import Views, Which


class DeviceMemory(NamedTuple):
    """What a GPU holds for a policy, in renditions of the training split and copies of a batch.

    Attributes:
        outputs: Renditions of which it keeps what a frozen prefix makes of them, if there is room.
        pixels: Renditions of which it keeps the pixels, where nothing is frozen or there is none.
        batches: Copies of a batch that rendering works on.
    """

    outputs: int
    pixels: int
    batches: int

    def within(self, other: DeviceMemory) -> bool:
        """Whether `other` takes no less of anything."""
        return all(mine <= others for mine, others in zip(self, other, strict=True))


class Augmentation(ABC):
    """A policy. As it stands, one at random, of which each epoch shows another rendition.

    It holds no state: what it draws, it draws by :meth:`Views.integers` and :meth:`Views.cropped`,
    which are the same on every device. Its pixels are kept by its name and the rendition's number:
    if its code comes to make others, :meth:`key` has to tell them apart.
    """

    needs_mirror: ClassVar[bool] = False
    """Whether it is only for data whose mirror image keeps its label."""

    in_any_order: ClassVar[bool] = True
    """Whether a GPU renders an image alone as fast as among its neighbours. If not, it renders
    many at once and keeps whole renditions."""

    batch_copies: ClassVar[int] = 2
    """How many copies of a batch rendering works on, to rank policies by their memory."""

    def renditions_of(self, epoch: int, num_views: int) -> tuple[int, ...]:
        """The renditions that the view of `epoch` is made of: always as many."""
        return (epoch % num_views,)

    def choice(self, views: Views, epoch: int) -> Tensor:
        """Which of :meth:`renditions_of` each image takes: int64 of shape (N,).

        By default each equally likely, drawn for each of `num_views` epochs.
        """
        count = len(self.renditions_of(epoch, views.num_views))
        return views.integers(count, "choice", epoch % views.num_views)

    def key(self, name: str, rendition: int) -> str:
        """What tells the pixels of a rendition from those of other policies: its own `name`."""
        return name

    @abstractmethod
    def render(self, views: Views, rendition: int, which: Which) -> Tensor:
        """Images of a rendition.

        Args:
            views: Of the images; :meth:`Views.fitted` and :meth:`Views.cropped` give them.
            rendition: Its number.
            which: A slice of the images, or the indices of some; on a GPU only if they come
                :attr:`in_any_order`.

        Returns:
            uint8 of shape (n, 3, S, S).
        """

    def device_memory(self) -> DeviceMemory:
        """What a GPU holds for it."""
        renditions = len(self.renditions_of(0, 1))
        return DeviceMemory(renditions, 0 if self.in_any_order else renditions, self.batch_copies)


@POLICIES.register("none")
class Unchanged(Augmentation):
    """Each image as it is."""

    batch_copies = 1

    def renditions_of(self, epoch: int, num_views: int) -> tuple[int, ...]:
        """The only one."""
        return (0,)

    def render(self, views: Views, rendition: int, which: Which) -> Tensor:
        """Images at the network's size."""
        return views.fitted(which)


@POLICIES.register("flip")
class Flip(Augmentation):
    """Each image or its mirror image."""

    needs_mirror = True

    def renditions_of(self, epoch: int, num_views: int) -> tuple[int, ...]:
        """All images as they are, and all mirrored."""
        return (0, 1)

    def key(self, name: str, rendition: int) -> str:
        """The first rendition is the one of `none`."""
        return name if rendition else "none"

    def render(self, views: Views, rendition: int, which: Which) -> Tensor:
        """Images at the network's size, mirrored in the second rendition."""
        plain = views.fitted(which)
        return plain.flip(3) if rendition else plain


@POLICIES.register("flip_crop")
class FlipCrop(Augmentation):
    """A random part of each image, mirrored or not."""

    def render(self, views: Views, rendition: int, which: Which) -> Tensor:
        """Images, cropped and mirrored at random."""
        return views.cropped(rendition, which)


class Torchvision(FlipCrop):
    """A crop, and then a policy that torchvision has for one image at a time."""

    in_any_order = False

    transform: ClassVar[str]
    """The policy's class in `torchvision.transforms.v2`."""

    def render(self, views: Views, rendition: int, which: Which) -> Tensor:
        """Images, cropped and changed."""
        from trainable.augment.per_image import change  # noqa: PLC0415 - loads PyTorch

        seeds = views.integers(2**31, "augment", rendition)[which].tolist()
        return change(self.transform, views.cropped(rendition, which), seeds)


@POLICIES.register("trivial")
class Trivial(Torchvision):
    """TrivialAugmentWide (Müller & Hutter 2021)."""

    transform = "TrivialAugmentWide"


@POLICIES.register("rand")
class Rand(Torchvision):
    """RandAugment (Cubuk et al. 2020)."""

    transform = "RandAugment"
