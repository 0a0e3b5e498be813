"""What a trial's tail is trained and tested on: its images, as the prefix leaves them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trainable.augment.device_views import DeviceViews
from trainable.augment.views import Views
from trainable.config import TrialConfig
from trainable.data.datasets import Dataset
from trainable.data.parts import SplitName
from trainable.data.stored import Images
from trainable.features.order import balanced_order
from trainable.features.prefix import PrefixOutputs, Recomputed, as_tail_input, channels_last
from trainable.seeding import generator


class TailInputs:
    """Batches of the current view, and whole splits without augmentation.

    What the prefix makes of the renditions of the current view stays in memory, so that a policy
    with few of them pays for each once. Where neither the store nor memory has room for it, a batch
    is rendered, and passed through the prefix, as it is asked for, and whole splits are computed
    again, some images at a time, whenever they are read. On a GPU there is room in a part
    (:data:`~trainable.features.prefix.PARTS`) of the trial's share; an empty prefix leaves nothing
    there, since rendering a batch takes less time than its training; and of policies whose images
    do not come in any order a rendition's pixels are kept instead.

    Args:
        config: The trial.
        dataset: Its images.
        outputs: What its frozen prefix makes of them.
    """

    def __init__(self, config: TrialConfig, dataset: Dataset, outputs: PrefixOutputs) -> None:
        self._config, self._dataset, self._outputs = config, dataset, outputs
        self._device = outputs.device
        self._views = self._views_of("train", config.image_size_at(0))
        truth = dataset.train.truth
        labels = dataset.train.labels if truth is None else truth.float()
        self._labels = labels.to(self._device.torch_device)
        places = self._places("train")
        self._at = None if places is None else places.to(self._device.torch_device)
        self._wanted: tuple[int, ...] = ()
        self._choice = torch.empty(0, dtype=torch.int64)
        self._renditions: dict[int, Tensor] = {}
        self._whole: dict[tuple[SplitName, bool], Tensor | Recomputed] = {}
        self._kept: PrefixOutputs | None = None
        self._kept = self._what_is_kept()
        self.batch_size = min(config.train.batch_size, len(self._labels))

    def set_epoch(self, epoch: int) -> None:
        """Make the view of `epoch` the one that :meth:`batch` draws from."""
        size = self._config.image_size_at(epoch)
        if size != self._views.image_size:
            self._views, self._renditions = self._views_of("train", size), {}
            self._kept = self._what_is_kept()
        self._wanted = self._views.renditions_of(epoch)
        choice = self._views.choice(epoch).to(self._device.torch_device)
        self._choice = choice if self._at is None else choice[self._at]
        if self._kept is None:
            return
        # Those of another view go before those of this one come.
        self._renditions = {r: self._renditions[r] for r in self._wanted if r in self._renditions}
        for rendition in self._wanted:
            if rendition not in self._renditions:
                self._renditions[rendition] = self._kept.on(self._views, rendition)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Indices of each batch of an epoch, on the device; the last may be incomplete."""
        draws = generator(self._config.train.seed, "order", epoch)
        if self._config.train.sampler == "balanced":
            order = balanced_order(self._dataset.train.labels, draws)
        else:
            order = torch.randperm(len(self._labels), generator=draws)
        return order.to(self._device.torch_device).split(self.batch_size)

    def whole_batches(self, epoch: int) -> Sequence[Tensor]:
        """The same without an incomplete one."""
        return self.batches(epoch)[: len(self._labels) // self.batch_size]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Training images of the current view as the tail takes them, and their labels.

        Args:
            indices: int64, on the device.

        Returns:
            Inputs of shape (n, C, H, W), channels last in memory, or (n, C), which may be written
            to; and labels, int64 of shape (n,), or which labels each image has, float32 of shape
            (n, classes).
        """
        first, *others = self._wanted
        out = self._rows(first, indices)
        for number, rendition in enumerate(others, start=1):
            taken = self._choice[indices] == number
            if self._device.is_gpu:  # without asking how many they are, which would wait for it
                rows = self._rows(rendition, indices)
                out = torch.where(taken.view(-1, *[1] * (out.ndim - 1)), rows, out)
            else:
                where = taken.nonzero().squeeze(1)
                out[where] = self._rows(rendition, indices[where])
        if self._kept is not self._outputs:
            places = indices if self._at is None else self._at[indices]
            out = self._outputs.of_pixels(out, places, len(self._views))
        return as_tail_input(out), self._labels[indices]

    def of_view(self, epoch: int) -> Iterator[Tensor]:
        """Inputs of each batch of an epoch, with the view of `epoch` as the current one.

        A last batch of one image is left out, since BatchNorm may see a single value of it. The
        inputs are the same under autocast.
        """
        kind = self._device.torch_device.type
        with torch.autocast(kind, enabled=False):
            self.set_epoch(epoch)
        for indices in self.batches(epoch):
            if len(indices) > 1:
                with torch.autocast(kind, enabled=False):
                    inputs, _ = self.batch(indices)
                yield inputs

    def of(self, split: SplitName, *, mirrored: bool = False) -> Tensor | Recomputed:
        """The prefix's output on a split as it is stored; computed once, if there is room for it.

        Args:
            split: The split, without augmentation.
            mirrored: Whether its images are mirrored.
        """
        key = split, mirrored
        if key not in self._whole:
            views, places = self._views_of(split), self._places(split)
            if mirrored:
                views = replace(views, policy="flip")
            if self._outputs.is_too_much(views, (int(mirrored),), self._bytes_kept()):
                self._whole[key] = self._outputs.recomputed(views, int(mirrored), places)
            else:
                whole = self._outputs.on(views, int(mirrored))
                self._whole[key] = whole if places is None else whole[places.to(whole.device)]
        return self._whole[key]

    def image_bytes(self) -> dict[SplitName, int]:
        """What of an image of a split is kept where there is room for all of them."""
        size = self._outputs.image_bytes(self._views.image_size)
        renditions = 0 if self._outputs.are_pixels else len(self._views.renditions_of(0))
        return {"train": renditions * size, "val": (1 + self._config.predict.flips) * size}

    def in_memory(self, split: SplitName) -> list[Images]:
        """What is in memory of a split, and the larger the more images it has."""
        known = [array for (name, _), array in self._whole.items() if name == split]
        whole = [array for array in known if isinstance(array, Tensor)]
        view = [*self._renditions.values()] if split == "train" else []
        return [self._views_of(split).images, *whole, *view]

    def _what_is_kept(self) -> PrefixOutputs | None:
        """What is kept of the current view: the prefix's outputs, its pixels, or nothing."""
        outputs, renditions = self._outputs, self._views.renditions_of(0)
        by_batch = self._views.in_any_order or not self._device.is_gpu
        if outputs.are_pixels and self._device.is_gpu:
            return None if by_batch else outputs
        if not outputs.is_too_much(self._views, renditions, self._bytes_kept()):
            return outputs
        return None if by_batch else outputs.pixels

    def _bytes_kept(self) -> int:
        """The bytes of outputs that are kept and could be computed again."""
        whole = [array for array in self._whole.values() if isinstance(array, Tensor)]
        view = self._renditions.values() if self._kept is self._outputs else ()
        return sum(array.nbytes for array in (*whole, *view) if array.device == self._labels.device)

    def _rows(self, rendition: int, indices: Tensor) -> Tensor:
        """Images `indices` of a rendition, as they are stored."""
        indices = indices if self._at is None else self._at[indices]
        if self._kept is None:
            return channels_last(self._views.render_at(rendition, indices))
        rows = self._renditions[rendition]
        return rows[indices.to(rows.device)].to(self._device.torch_device)

    def _places(self, split: SplitName) -> Tensor | None:
        """Which of the images of its views a split has; None is all."""
        pool = self._dataset.pool
        return None if pool is None or split not in pool.places else pool.places[split]

    def _views_of(self, split: SplitName, image_size: int | None = None) -> Views:
        views = views_of(self._config, self._dataset, split)
        if image_size is not None:
            views = replace(views, image_size=image_size)
        if not self._device.is_gpu:
            return views
        return DeviceViews.of(views, self._device, resident=self._outputs.resident)


def views_of(config: TrialConfig, dataset: Dataset, split: SplitName) -> Views:
    """The views of a split; only those of the training split are augmented.

    Where the split is a fold's, they are those of all images that folds are made of.
    """
    policy = config.augment.policy if split == "train" else "none"
    fixed = (policy, config.data.image_size, config.augment.num_views, config.data.mirrors)
    if dataset.pool is not None and split in dataset.pool.places:
        return Views(dataset.pool.images, dataset.pool.fingerprint, *fixed, "pool")
    return Views(dataset.split(split).images, dataset.fingerprint, *fixed, split)
