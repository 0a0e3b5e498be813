"""What a trial takes of a GPU's memory, found by rehearsing some steps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch

from trainable.augment.device_views import images_on, page_length
from trainable.config import ObjectiveConfig, TrialConfig
from trainable.data.datasets import Dataset
from trainable.data.split import Split
from trainable.device import Device, release_memory, resolve_device
from trainable.features.prefix import PARTS
from trainable.finetuner import FineTuner

_IMAGES: Final = 4096
"""The images of a split that a rehearsal has at most, or as many as are augmented together. What
more of them take grows with their number, and is computed."""
_STEPS: Final = 3
"""How many steps a rehearsal trains. The optimizer has its state after the first."""


@dataclass(frozen=True)
class DataShape:
    """What of a dataset decides how much memory it takes.

    Attributes:
        train: How many training images there are.
        val: How many validation images there are.
        side: The side of the stored images, in pixels.
        classes: How many classes there are.
    """

    train: int
    val: int
    side: int
    classes: int

    @classmethod
    def of(cls, dataset: Dataset) -> DataShape:
        """The shape of a dataset."""
        side = dataset.train.images.shape[-1]
        return cls(len(dataset.train), len(dataset.val), side, len(dataset.classes))

    def of_at_most(self, images: int) -> DataShape:
        """The same with no more images a split."""
        return DataShape(min(self.train, images), min(self.val, images), self.side, self.classes)

    def blank(self) -> Dataset:
        """A dataset of this shape, whose images are of no matter."""
        train, val = (_blank(count, self.side) for count in (self.train, self.val))
        return Dataset(train, val, val, tuple(map(str, range(self.classes))), repr(self))


@dataclass(frozen=True)
class MemoryNeed:
    """What the heaviest of some trials takes of a GPU's memory.

    Attributes:
        peak: Bytes of the tensors that it needs at most, CUDA's own part left out.
        total: Bytes that the GPU has.
        kept: Bytes that it fills beside them if its share has room: what could be computed again.
    """

    peak: int
    total: int
    kept: int = 0

    @property
    def share(self) -> float:
        """Bytes in which it has what it needs, whatever it keeps beside that.

        It keeps no more than one of :data:`~trainable.features.prefix.PARTS` parts of its share.
        """
        return self.peak + min(self.kept, self.peak / (PARTS - 1))


def measure_need(configs: Sequence[TrialConfig], shape: DataShape) -> MemoryNeed | None:
    """Rehearse trials one after the other on the GPU of this process.

    Args:
        configs: The trials.
        shape: The shape of their data, which is not read.

    Returns:
        The most that any of them needs; None where there is no GPU.
    """
    devices = [resolve_device(config.train.precision) for config in configs]
    if not devices or not devices[0].is_gpu:
        return None
    total = torch.cuda.get_device_properties(0).total_memory
    pairs = zip(configs, devices, strict=True)
    needs = [_need(config, device, shape, total) for config, device in pairs]
    return max(needs, key=lambda need: need.share)


def _need(config: TrialConfig, device: Device, shape: DataShape, total: int) -> MemoryNeed:
    images_on.cache_clear()
    release_memory()
    torch.cuda.reset_peak_memory_stats()
    few = shape.of_at_most(max(_IMAGES, page_length(config.data.image_size)))
    # Compiled, it would need no more, and half a minute to be so; and larger images need most.
    train = config.train.model_copy(update={"compile": False, "first_image_size": None})
    # A blank dataset has not the classes that costs name.
    changed = {"train": train, "objective": ObjectiveConfig()}
    try:
        # Without room, it keeps nothing that it could compute again.
        bare = replace(device, room=0)
        tuner = FineTuner(config.model_copy(update=changed), bare, dataset=few.blank())
        tuner.rehearse(_STEPS)
        tuner.evaluate("val")
    except torch.OutOfMemoryError:
        return MemoryNeed(total, total)
    peak = torch.cuda.max_memory_allocated() + unseen(tuner, few, shape)
    return MemoryNeed(peak, total, may_keep(tuner, shape))


def may_keep(tuner: FineTuner, shape: DataShape) -> int:
    """Bytes that a trial fills with what it could compute again, if there is room for all."""
    each = tuner.inputs.image_bytes()
    return each["train"] * shape.train + each["val"] * shape.val


def unseen(tuner: FineTuner, few: DataShape, shape: DataShape) -> int:
    """Bytes that the images take on the device which a rehearsal with few of them leaves out."""
    more = {"train": shape.train / few.train - 1, "val": shape.val / few.val - 1}
    device = tuner.device.torch_device.type
    return sum(
        round(more[split] * array.nbytes)
        for split in ("train", "val")
        for array in tuner.inputs.in_memory(split)
        if array.device.type == device
    )


def _blank(count: int, side: int) -> Split:
    images = torch.empty((count, 3, side, side), dtype=torch.uint8)
    return Split(images, torch.zeros(count, dtype=torch.int64))
