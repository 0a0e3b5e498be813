"""Views on a GPU: the images live there, and are cut, resized and augmented there in batches."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Final

import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

from trainable.augment.resampling import resampled
from trainable.augment.views import Views, Which
from trainable.data.sizes import stored_side
from trainable.data.stored import Images
from trainable.device import Device

TOLERANCE: Final = 2
"""Of 255 levels: by how much a pixel may differ from the same view on a CPU.

A CPU rounds after each direction in which it resizes, and a GPU once. What `trivial` and `rand`
do to a pixel may hang on such a difference, or on which of two pixels is the nearer: there, a few
pixels in a hundred may differ by more.
"""

_AT_ONCE: Final = 128
"""How many images of a slice are cut and resized at once."""

_PAGE_BYTES: Final = 2**28
"""Bytes of the images that are rendered at once where they do not come in any order: the more,
the more of them have drawn the same operation."""


@dataclass
class _Memo:
    """What was made last: the crops of a rendition, and a page of one."""

    placed: int | None = None
    places: tuple[Tensor, Tensor] | None = None
    paged: tuple[int, int] | None = None
    page: Tensor | None = None


@dataclass(frozen=True, eq=False)
class DeviceViews(Views):
    """The views of a split, rendered on a GPU.

    What a view shows is drawn on the CPU, as :class:`Views` draws it.

    Attributes:
        device: Where they are rendered. Images that are not there are brought as they are needed.
    """

    device: torch.device = field(kw_only=True)
    _memo: _Memo = field(default_factory=_Memo, init=False, repr=False)

    @classmethod
    def of(cls, views: Views, device: Device, *, resident: bool = True) -> DeviceViews:
        """The same views on a device.

        Args:
            views: The views on the CPU.
            device: Where to render them.
            resident: Whether to keep the images there, if they fit.
        """
        given = {f.name: getattr(views, f.name) for f in fields(views)}
        if resident:
            given["images"] = images_on(views.images, device)
        else:
            images_on.cache_clear()
        return cls(**given, device=device.torch_device)

    def render(self, rendition: int, start: int, stop: int) -> Tensor:
        """Images `start` to `stop` of a rendition: uint8 of shape (stop - start, 3, S, S)."""
        if self.in_any_order:
            return super().render(rendition, start, stop)
        first, page = self._page(rendition, start, stop)
        return page[start - first : stop - first]

    def render_at(self, rendition: int, indices: Tensor) -> Tensor:
        """Images `indices` of a rendition; only of policies whose images come in any order."""
        assert self.in_any_order
        return super().render_at(rendition, indices)

    def cropped(self, rendition: int, which: Which) -> Tensor:
        """Images cropped at random; those of a slice in parts, since cutting takes much memory."""
        if isinstance(which, Tensor):
            return super().cropped(rendition, which)
        start, stop, _ = which.indices(len(self))
        shape = (stop - start, 3, self.image_size, self.image_size)
        page = torch.empty(shape, dtype=torch.uint8, device=self.device)
        for first in range(start, stop, _AT_ONCE):
            last = min(first + _AT_ONCE, stop)
            page[first - start : last - start] = super().cropped(rendition, slice(first, last))
        return page

    def _stored(self, which: Which) -> Tensor:
        images = self.images[which if isinstance(which, slice) else which.to(self.images.device)]
        return images.to(self.device)

    def _fit(self, images: Tensor) -> Tensor:
        """What :func:`trainable.data.sizes.fit` makes of images."""
        side, size = images.shape[-1], self.image_size
        wanted = size if side <= size else min(side, stored_side(size))
        if side != wanted:
            whole = torch.full((1, 4), side, device=self.device)
            whole[:, :2] = 0
            images = resampled(images, whole, wanted)
        return F.center_crop(images, [size, size])

    def _cut(self, images: Tensor, boxes: Tensor) -> Tensor:
        return resampled(images, boxes, self.image_size)

    def _crops(self, rendition: int, which: Which) -> tuple[Tensor, Tensor]:
        memo = self._memo
        if memo.places is None or memo.placed != rendition:
            mirrored, places = super()._crops(rendition, slice(None))
            memo.placed, memo.places = rendition, (mirrored.to(self.device), places.to(self.device))
        mirrored, places = memo.places
        return mirrored[which], places[which]

    def _page(self, rendition: int, start: int, stop: int) -> tuple[int, Tensor]:
        """Images of a rendition with `start` to `stop` among them, and the number of the first."""
        memo = self._memo
        if memo.page is not None and memo.paged is not None:
            of, first = memo.paged
            if of == rendition and first <= start and stop <= first + len(memo.page):
                return first, memo.page
        memo.page = None  # before there are two
        count = max(stop - start, page_length(self.image_size))
        memo.paged = rendition, start
        memo.page = super().render(rendition, start, min(start + count, len(self)))
        return start, memo.page


def page_length(image_size: int) -> int:
    """How many images of a size in pixels are augmented together, if there are so many."""
    return max(1, _PAGE_BYTES // (3 * image_size**2))


@lru_cache(maxsize=3)
def images_on(images: Images, device: Device) -> Images:
    """Images on a device, or where they are if it has no room for them.

    Those of the last three splits are kept, since the trials of a search all ask for the same.
    A tensor is the same key as long as it is the same object.
    """
    room = device.allocate(tuple(images.shape), dtype=images.dtype)
    if room.device.type == images.device.type:
        return images
    for start in range(0, len(images), _AT_ONCE):
        room[start : start + _AT_ONCE] = images[start : start + _AT_ONCE]
    return room
