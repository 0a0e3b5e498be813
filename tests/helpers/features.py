"""Images for a tail, with no data source behind them."""

from __future__ import annotations

import torch
from torch import nn

from trainable.augment.views import Views
from trainable.config import Policy, TrialConfig
from trainable.data.datasets import Dataset, Split
from trainable.device import Device
from trainable.features.batches import TailInputs, views_of
from trainable.features.prefix import CHUNK, PrefixOutputs
from trainable.network.cut_network import build

COUNT = CHUNK + 20
SIZE = 16


def dataset(count: int = COUNT, side: int = 8) -> Dataset:
    """So many noisy images in each split."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, side, side), generator=draws, dtype=torch.uint8)
    split = Split(images, torch.arange(count) % 3)
    return Dataset(split, split, split, ("a", "b", "c"), "a")


def config(policy: Policy = "none", num_views: int = 2) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "data": {"image_size": SIZE, "mirror": True},
            "augment": {"policy": policy, "num_views": num_views},
        }
    )


def views(policy: Policy = "none", count: int = COUNT, num_views: int = 2) -> Views:
    """The views of the training split."""
    return views_of(config(policy, num_views), dataset(count), "train")


def prefix_of(depth: int) -> nn.Sequential:
    return build("resnet18", num_classes=3, depth=depth).prefix


def tail_inputs(
    prefix: nn.Sequential,
    device: Device,
    policy: Policy = "none",
    count: int = COUNT,
    num_views: int = 2,
    side: int = 8,
) -> TailInputs:
    """What a tail above `prefix` is trained on."""
    outputs = PrefixOutputs(prefix, device)
    return TailInputs(config(policy, num_views), dataset(count, side), outputs)
