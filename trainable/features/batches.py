"""What a trial's tail is trained and tested on: its images, as the prefix leaves them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainable.augment.device_views import DeviceViews
from trainable.augment.views import Views
from trainable.config import TrialConfig
from trainable.data.datasets import Dataset
from trainable.data.parts import SplitName
from trainable.device import Device
from trainable.features.prefix import Activations, PrefixOutputs
from trainable.features.store import ArrayStore
from trainable.seeding import generator


class TailInputs:
    """Batches of the current view, and whole splits without augmentation.

    Args:
        config: Of the trial.
        dataset: Its images.
        prefix: Its frozen stages, in eval mode.
        device: Where it computes.
        store: Where the prefix's outputs are kept; None computes each time.
        resident: Whether a GPU keeps images and outputs in its own memory, if they fit there.
    """

    def __init__(
        self,
        config: TrialConfig,
        dataset: Dataset,
        prefix: nn.Sequential,
        device: Device,
        store: ArrayStore | None = None,
        *,
        resident: bool = True,
    ) -> None:
        self._config, self._dataset, self._device = config, dataset, device
        self._resident = resident
        self._outputs = PrefixOutputs(prefix, device, store, resident=resident)
        self._train = Activations(self._views("train"), self._outputs)
        self._labels = dataset.train.labels.to(device.torch_device)
        self._whole: dict[SplitName, Tensor] = {}
        self.batch_size = min(config.train.batch_size, len(self._labels))

    def set_epoch(self, epoch: int) -> None:
        """Make the view of `epoch` the one that :meth:`batch` draws from."""
        self._train.set_epoch(epoch)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Indices of each batch of an epoch, on the device; the last may be incomplete."""
        order = torch.randperm(
            len(self._labels), generator=generator(self._config.train.seed, "order", epoch)
        )
        return order.to(self._device.torch_device).split(self.batch_size)

    def whole_batches(self, epoch: int) -> Sequence[Tensor]:
        """The same without an incomplete one."""
        return self.batches(epoch)[: len(self._labels) // self.batch_size]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels (int64) of training images, of which the inputs may be written to."""
        return self._train.batch(indices), self._labels[indices]

    def of(self, split: SplitName) -> Tensor:
        """The prefix's output on a split as it is stored; computed once and kept."""
        if split not in self._whole:
            self._whole[split] = self._outputs.on(self._views(split), 0)
        return self._whole[split]

    def kept(self, split: SplitName) -> list[Tensor]:
        """What is in memory of a split, and the larger the more images it has."""
        whole = [self._whole[split]] if split in self._whole else []
        view = self._train.kept if split == "train" else []
        return [self._views(split).images, *whole, *view]

    def _views(self, split: SplitName) -> Views:
        views = views_of(self._config, self._dataset, split)
        if not self._device.is_gpu:
            return views
        return DeviceViews.of(views, self._device, resident=self._resident)


def views_of(config: TrialConfig, dataset: Dataset, split: SplitName) -> Views:
    """The views of a split; only those of the training split are augmented."""
    return Views(
        dataset.split(split).images,
        dataset.fingerprint,
        config.augment.policy if split == "train" else "none",
        config.data.image_size,
        config.augment.num_views,
        config.data.mirrors,
        split,
    )
