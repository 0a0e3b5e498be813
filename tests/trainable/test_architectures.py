"""Every ResNet of torchvision: built, cut, and trained a step at several depths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models import get_model_weights, list_models

from trainable import registries
from trainable.config import TrialConfig
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.network.resnet import IMAGENET

ARCHS = registries.ARCHS.shipped
SMALL = [arch for arch in ARCHS if arch.endswith("_3x3")]
LARGE = set(ARCHS) - {"resnet18"}


def test_they_are_all_that_torchvision_has() -> None:
    known = set(list_models(torchvision.models, include="*resne*"))
    assert {arch for arch in ARCHS if arch not in SMALL} == known
    assert {arch.removesuffix("_3x3") for arch in SMALL} < known


@pytest.mark.parametrize("arch", [arch for arch in ARCHS if arch not in SMALL])
def test_each_has_imagenet_weights_of_the_same_kind(arch: str) -> None:
    weights = get_model_weights(arch)[IMAGENET]
    assert weights.url.endswith(".pth")


@pytest.mark.parametrize(
    "arch", [pytest.param(a, marks=pytest.mark.nightly) if a in LARGE else a for a in ARCHS]
)
def test_each_takes_a_step_at_its_depths(
    arch: str, tiny: Callable[..., TrialConfig], device: Device
) -> None:
    # ResNet18 shows each depth; the others what is their own: their stages and their blocks.
    for depth in range(6) if arch not in LARGE else (0, 2, 5):
        config = tiny(
            data={"limit": 20, "val_fraction": 0.5},
            model={"arch": arch, "unfreeze_depth": depth},
            augment={"mixup": 1.0, "cutmix": 1.0},
            optim={"name": "sgd"},
            train={"batch_size": 10},
        )
        tuner = FineTuner(config, device)
        before = {stage: p.detach().clone() for stage, p in a_weight_of_each_stage(tuner)}

        metrics = tuner.train_epoch()

        assert all(math.isfinite(value) for value in metrics.values())
        after = dict(a_weight_of_each_stage(tuner))
        changed = {stage for stage in before if not torch.equal(before[stage], after[stage])}
        assert changed == set(tuner.network.trained)


def a_weight_of_each_stage(tuner: FineTuner) -> Iterator[tuple[str, Tensor]]:
    """The first of each: there are up to 83 million."""
    seen = set()
    for name, parameter in tuner.network.net.named_parameters():
        stage = tuner.network.stage_of(name)
        if stage is not None and stage not in seen:
            seen.add(stage)
            yield stage, parameter
