"""A trial as it runs on a GPU.

What is special there but needs no GPU is tested on a CPU that says it is one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.helpers.devices import Pretended
from tests.helpers.features import SIZE, prefix_of, tail_inputs, views
from trainable.config import Policy, TrialConfig
from trainable.device import Device, resolve_device
from trainable.features.prefix import PARTS, PrefixOutputs, as_tail_input
from trainable.finetuner import FineTuner

TinyConfig = Callable[..., TrialConfig]
POLICIES: tuple[Policy, ...] = ("none", "flip", "flip_crop", "trivial")
COUNT = 40


@pytest.fixture
def pretended(device: Device) -> Device:
    return Pretended.of(device)


@pytest.fixture
def gpu() -> Iterator[Device]:
    """The GPU, in fp32."""
    before = torch.backends.cudnn.conv.fp32_precision
    yield resolve_device("fp32", 1)
    torch.backends.cudnn.conv.fp32_precision = before
    torch.cuda.empty_cache()


def epochs(tuner: FineTuner, count: int) -> list[dict[str, float]]:
    seen = [tuner.train_epoch() for _ in range(count)]
    return [{k: v for k, v in metrics.items() if k != "epoch_seconds"} for metrics in seen]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """A state as a checkpoint brings it to another machine."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def close(found: list[dict[str, float]], expected: list[dict[str, float]]) -> bool:
    """Whether losses differ by a thirtieth at most; accuracies of 40 guesses say nothing."""
    return all(
        abs(one[name] - other[name]) <= 0.03 * other[name]
        for one, other in zip(found, expected, strict=True)
        for name in ("train_loss", "val_loss")
    )


class TestRoom:
    """What the prefix makes of a view stays on a GPU in a part of the trial's share."""

    @pytest.mark.parametrize("depth", [0, 4])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_without_room_a_batch_is_rendered_and_passes_the_prefix_as_it_is_asked_for(
        self, policy: Policy, depth: int, device: Device, pretended: Device
    ) -> None:
        prefix, bare = prefix_of(depth), replace(pretended, room=0)
        usual, without = (
            tail_inputs(prefix, where, policy, COUNT, side=SIZE) for where in (pretended, bare)
        )
        indices = torch.randperm(COUNT)[:9]
        for epoch in range(3):
            for inputs in (usual, without):
                inputs.set_epoch(epoch)
            assert torch.equal(without.batch(indices)[0], usual.batch(indices)[0])
        view = without.in_memory("train")[1:]
        pixels = [(COUNT, SIZE, SIZE, 3)] if policy == "trivial" else []
        assert [tuple(array.shape) for array in view] == pixels

    def test_all_that_is_kept_takes_a_part_of_it_together(
        self, device: Device, pretended: Device
    ) -> None:
        each = PrefixOutputs(prefix_of(4), device).image_bytes(SIZE) * COUNT
        for copies, whole in ((1, 0), (2, 2), (3, 3), (4, 4)):
            where = replace(pretended, room=copies * each * PARTS)
            inputs = tail_inputs(prefix_of(4), where, "flip", COUNT, side=SIZE)
            inputs.set_epoch(0)
            inputs.of("val")
            inputs.of("test")
            kept = {name: inputs.in_memory(name)[1:] for name in ("train", "val", "test")}
            assert sum(len(arrays) for arrays in kept.values()) == max(whole, min(copies, 2))
            assert len(kept["train"]) == (2 if copies > 1 else 0)

    @pytest.mark.slow
    def test_a_trial_has_the_same_metrics(self, tiny: TinyConfig, pretended: Device) -> None:
        sections = {"data": {"mirror": True}, "model": {"unfreeze_depth": 4}}
        config = tiny(**sections, augment={"policy": "flip"}, predict={"flips": True})
        usual, without = (
            FineTuner(config, where) for where in (pretended, replace(pretended, room=0))
        )
        assert epochs(without, 2) == epochs(usual, 2)
        assert without.evaluate("test").loss == usual.evaluate("test").loss


class TestInputs:
    @pytest.mark.parametrize("depth", [0, 4, 5])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_batch_is_what_a_cpu_makes_of_the_same_view(
        self, policy: Policy, depth: int, device: Device, pretended: Device
    ) -> None:
        prefix = prefix_of(depth)
        there, here = (
            tail_inputs(prefix, where, policy, COUNT, side=SIZE) for where in (pretended, device)
        )
        indices = torch.randperm(COUNT)[:9]

        for epoch in range(3):
            for inputs in (there, here):
                inputs.set_epoch(epoch)
            found, _ = there.batch(indices)
            assert torch.equal(found, here.batch(indices)[0])
            assert depth == 0 or found.is_contiguous(memory_format=torch.channels_last)

    def test_what_does_not_fit_stays_on_the_host(
        self, pretended: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, asked = torch.empty, []

        def empty(shape: tuple[int, ...], **options: Any) -> torch.Tensor:
            asked.append("device" in options)
            if options.pop("device", None) is not None:
                raise torch.OutOfMemoryError("tried to allocate 8.00 GiB")
            return real(shape, **options)

        prefix, source = prefix_of(4), views("none", COUNT)
        expected = PrefixOutputs(prefix, pretended).on(source, 0)
        monkeypatch.setattr("trainable.device.torch.empty", empty)

        outputs = PrefixOutputs(prefix, pretended).on(source, 0)

        assert asked == [True, False]
        assert torch.equal(as_tail_input(outputs), as_tail_input(expected))


@pytest.mark.parametrize("depth", [1, 5])
@pytest.mark.parametrize("policy", ["none", "flip_crop", "trivial"])
def test_a_trial_treated_as_on_a_gpu_learns_what_it_learns_on_a_cpu(
    policy: str, depth: int, tiny: TinyConfig, device: Device, pretended: Device
) -> None:
    config = tiny(
        data={"limit": 100},
        model={"unfreeze_depth": depth},
        augment={"policy": policy, "mixup": 0.2},
        optim={"name": "sgd", "lr": 0.002},
    )
    there, here = (FineTuner(config, where) for where in (pretended, device))

    assert close(epochs(there, 1), epochs(here, 1))


def test_in_parts_a_trial_leaves_what_it_can_on_the_host(
    tiny: TinyConfig, device: Device, pretended: Device
) -> None:
    config = tiny(data={"limit": 100})

    there, here = (FineTuner(config, where, micro_batches=2) for where in (pretended, device))

    assert close(epochs(there, 1), epochs(here, 1))


@pytest.mark.gpu
@pytest.mark.parametrize("depth", [0, 1, 5])
@pytest.mark.parametrize("policy", ["none", "flip_crop", "rand"])
def test_a_gpu_learns_what_a_cpu_learns(
    policy: str, depth: int, tiny: TinyConfig, gpu: Device
) -> None:
    config = tiny(
        model={"unfreeze_depth": depth},
        augment={"policy": policy},
        optim={"name": "sgd", "lr": 0.002},
    )
    cpu = Device(torch.device("cpu"), torch.float32, 1)

    there, here = (FineTuner(config, device) for device in (gpu, cpu))

    assert next(there.network.tail.parameters()).is_cuda
    assert close(epochs(there, 1), epochs(here, 1))


@pytest.mark.gpu
@pytest.mark.parametrize("to_gpu", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_checkpoint_goes_on_across_devices(
    optimizer: str, to_gpu: bool, tiny: TinyConfig, gpu: Device
) -> None:
    config = tiny(model={"unfreeze_depth": 1}, optim={"name": optimizer, "lr": 0.002})
    cpu = Device(torch.device("cpu"), torch.float32, 1)
    first, second = (cpu, gpu) if to_gpu else (gpu, cpu)
    whole, resumed = FineTuner(config, first), FineTuner(config, second)
    epochs(whole, 1)

    resumed.load_state_dict(through_a_file(whole.state_dict()))

    assert next(resumed.network.tail.parameters()).device.type == second.torch_device.type
    assert close(epochs(resumed, 2), epochs(whole, 2))


@pytest.mark.gpu
@pytest.mark.parametrize("policy", ["none", "flip", "flip_crop"])
@pytest.mark.parametrize("depth", [0, 2, 5])
def test_no_step_waits_for_the_gpu(policy: str, depth: int, tiny: TinyConfig, gpu: Device) -> None:
    config = tiny(
        data={"mirror": True},
        model={"unfreeze_depth": depth},
        augment={"policy": policy, "mixup": 0.2, "cutmix": 1.0},
    )
    tuner = FineTuner(config, replace(gpu, dtype=torch.bfloat16))
    tuner.rehearse(3)
    indices, mixer = torch.arange(32, device="cuda"), tuner._mixer()
    weights = next(tuner.network.tail.parameters())
    before = weights.detach().clone()

    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            tuner._step(indices, mixer)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not torch.equal(weights, before), "nothing was done that could have waited"


@pytest.mark.gpu
def test_the_store_changes_no_more_than_another_run(
    tiny: TinyConfig, gpu: Device, tmp_path: Any
) -> None:
    from trainable.store.arrays import ArrayStore  # noqa: PLC0415

    config = tiny(model={"unfreeze_depth": 1}, augment={"policy": "flip_crop"})
    without = FineTuner(config, gpu)
    with_store = FineTuner(config, gpu, ArrayStore(tmp_path))

    assert close(epochs(with_store, 2), epochs(without, 2))
