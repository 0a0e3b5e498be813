"""What a trial takes of a GPU's memory, before it is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.helpers.devices import Pretended
from trainable.config import TrialConfig
from trainable.device import CONTEXT_BYTES, Device, release_memory, resolve_device, tensor_share
from trainable.features.prefix import PARTS
from trainable.finetuner import FineTuner
from trainable.rehearsal import DataShape, MemoryNeed, may_keep, measure_need, unseen

TinyConfig = Callable[..., TrialConfig]


def kept(config: TrialConfig, device: Device, shape: DataShape) -> tuple[FineTuner, int]:
    """A trial after a rehearsal, and the bytes that its images take."""
    tuner = FineTuner(config, device, dataset=shape.blank())
    tuner.rehearse(1)
    tuner.evaluate("val")
    return tuner, sum(a.nbytes for split in ("train", "val") for a in tuner.inputs.in_memory(split))


@pytest.mark.parametrize("depth", [0, 4, 5])
@pytest.mark.parametrize(
    "policy", [pytest.param("none", marks=pytest.mark.slow), "flip", "trivial"]
)
def test_what_more_images_take_is_computed_from_few(
    policy: str, depth: int, tiny: TinyConfig, device: Device
) -> None:
    there = Pretended.of(device)
    config = tiny(
        data={"mirror": True}, model={"unfreeze_depth": depth}, augment={"policy": policy}
    )
    few, many = DataShape(64, 32, 16, 3), DataShape(160, 48, 16, 3)

    tuner, small = kept(config, there, few)
    _, large = kept(config, there, many)

    assert small + unseen(tuner, few, many) == large


@pytest.mark.parametrize("depth", [0, 4, 5])
@pytest.mark.parametrize(
    "policy", [pytest.param("none", marks=pytest.mark.slow), "flip", "trivial"]
)
@pytest.mark.parametrize("flips", [pytest.param(False, marks=pytest.mark.slow), True])
def test_what_could_be_computed_again_is_counted_apart(
    policy: str, depth: int, flips: bool, tiny: TinyConfig, device: Device
) -> None:
    config = tiny(
        data={"mirror": True},
        model={"unfreeze_depth": depth},
        augment={"policy": policy},
        predict={"flips": flips},
    )
    shape = DataShape(160, 48, 16, 3)

    tuner, everything = kept(config, Pretended.of(device), shape)
    _, needed = kept(config, Pretended.of(device, room=0), shape)

    pixels = shape.train * 3 * 16**2 if policy == "trivial" else 0
    assert needed == (shape.train + shape.val) * 3 * 16**2 + pixels
    replaced = pixels if depth < 5 else 0  # by what a prefix makes of them
    assert everything == needed - replaced + may_keep(tuner, shape)


@pytest.mark.parametrize(
    ("kept", "share"), [(0, 90), (10, 100), (30, 120), (31, 120), (10**6, 120)]
)
def test_a_share_has_room_for_what_is_needed_beside_what_may_be_kept(kept: int, share: int) -> None:
    need = MemoryNeed(90, 1000, kept)
    assert need.share == share
    assert need.share - min(kept, need.share / PARTS) >= need.peak


def test_a_rehearsal_leaves_a_trials_epochs_alone(tiny: TinyConfig, device: Device) -> None:
    tuner = FineTuner(tiny(), device)

    tuner.rehearse(7)

    assert tuner.epoch == 0


@pytest.mark.parametrize(
    ("fraction", "total", "left"),
    [(0.25, 100 * CONTEXT_BYTES, 0.24), (1, 100 * CONTEXT_BYTES, 0.99), (0.1, CONTEXT_BYTES, 0.05)],
)
def test_a_share_leaves_room_for_cuda_itself(fraction: float, total: int, left: float) -> None:
    assert tensor_share(fraction, total) == pytest.approx(left)


@pytest.mark.gpu
@pytest.mark.parametrize("policy", ["none", "flip", "flip_crop", "trivial"])
@pytest.mark.parametrize("depth", [0, 3, 5])
def test_the_need_is_what_a_whole_epoch_takes(policy: str, depth: int, tiny: TinyConfig) -> None:
    config = tiny(
        data={"mirror": True, "image_size": 64},
        model={"unfreeze_depth": depth},
        augment={"policy": policy, "mixup": 0.2},
        train={"batch_size": 256},
    )
    shape = DataShape(12_000, 2_000, 32, 10)

    need = measure_need([config], shape)

    assert need is not None
    tuner = FineTuner(config, resolve_device("fp32"), dataset=shape.blank())
    release_memory()
    torch.cuda.reset_peak_memory_stats()
    tuner.train_epoch()
    # On so large a GPU all is kept that may be.
    most = torch.cuda.max_memory_allocated()
    assert need.peak * 0.85 <= most <= (need.peak + need.kept) * 1.15


@pytest.mark.gpu
def test_the_heaviest_of_some_trials_decides(tiny: TinyConfig) -> None:
    changes: dict[str, Any] = {"data": {"image_size": 64}, "model": {"unfreeze_depth": 5}}
    light, heavy = (tiny(**changes, train={"batch_size": size}) for size in (32, 512))
    shape = DataShape(1_000, 100, 32, 10)

    alone, together = measure_need([heavy], shape), measure_need([light, heavy, light], shape)

    assert alone is not None
    assert together is not None
    assert together.peak == pytest.approx(alone.peak, rel=0.02)
    assert together.total == torch.cuda.get_device_properties(0).total_memory
