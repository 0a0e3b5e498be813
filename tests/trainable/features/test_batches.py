"""Batches of what the prefix makes of the current view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.features import COUNT, config, dataset, prefix_of, tail_inputs, views
from trainable.config import Policy, TrialConfig
from trainable.config.training import TrainConfig
from trainable.device import Device
from trainable.features import prefix as prefix_module
from trainable.features.batches import TailInputs
from trainable.features.prefix import CHUNK, PrefixOutputs, as_tail_input
from trainable.finetuner import FineTuner
from trainable.store.arrays import ArrayStore


@pytest.fixture
def passes() -> list[int]:
    """The size of each batch that went through :func:`counted`."""
    return []


@pytest.fixture
def counted(passes: list[int]) -> nn.Sequential:
    """The stem, which notes what goes through it."""
    prefix = prefix_of(4)
    prefix.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    return prefix


def test_a_batch_is_the_stored_images_in_the_order_asked_for(device: Device) -> None:
    inputs = tail_inputs(prefix_of(4), device)
    inputs.set_epoch(0)
    indices = torch.tensor([5, 0, COUNT - 1, 5])

    everything = PrefixOutputs(prefix_of(4), device).on(views(), 0)

    assert torch.equal(inputs.batch(indices)[0], as_tail_input(everything)[indices])


def test_a_batch_takes_each_image_from_the_rendition_it_chose(device: Device) -> None:
    flip = views("flip", num_views=3)
    inputs = tail_inputs(prefix_of(5), device, "flip", num_views=3)
    indices = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))[:100]
    plain, mirrored = (flip.render(rendition, 0, COUNT) for rendition in (0, 1))

    for epoch in range(4):
        inputs.set_epoch(epoch)
        batch = inputs.batch(indices)[0]

        chosen = flip.choice(epoch).bool()[:, None, None, None]
        assert torch.equal(batch, torch.where(chosen, mirrored, plain)[indices])


def test_a_batch_may_be_written_to(device: Device) -> None:
    inputs = tail_inputs(prefix_of(4), device, "flip")
    inputs.set_epoch(0)
    before = inputs.batch(torch.arange(9))[0].clone()

    inputs.batch(torch.arange(9))[0].zero_()

    assert torch.equal(inputs.batch(torch.arange(9))[0], before)


@pytest.mark.parametrize(("policy", "renditions"), [("none", 1), ("flip", 2)])
def test_the_renditions_of_a_policy_with_few_are_computed_once(
    policy: Policy,
    renditions: int,
    device: Device,
    counted: nn.Sequential,
    passes: list[int],
) -> None:
    inputs = tail_inputs(counted, device, policy, 20)

    for epoch in range(5):
        inputs.set_epoch(epoch)

    assert passes == [20] * renditions


def test_only_the_current_rendition_of_a_random_policy_is_kept(
    device: Device, counted: nn.Sequential, passes: list[int]
) -> None:
    inputs = tail_inputs(counted, device, "flip_crop", 20)
    made = []

    for epoch in (0, 0, 1, 2, 2):
        inputs.set_epoch(epoch)
        made.append(len(passes))

    assert made == [1, 1, 2, 3, 3]


def test_a_random_policy_gives_the_rendition_of_the_epoch(device: Device) -> None:
    crops = views("flip_crop")
    inputs = tail_inputs(prefix_of(5), device, "flip_crop")

    for epoch in range(3):
        inputs.set_epoch(epoch)
        expected = crops.render(epoch % 2, 0, COUNT)
        assert torch.equal(inputs.batch(torch.arange(COUNT))[0], expected)


def test_a_batch_comes_with_the_labels_of_its_images(device: Device) -> None:
    inputs = tail_inputs(prefix_of(4), device)
    inputs.set_epoch(0)
    indices = torch.tensor([5, 0, COUNT - 1])

    assert torch.equal(inputs.batch(indices)[1], dataset().train.labels[indices])


def test_the_batches_of_a_view_are_of_that_view_and_leave_out_a_last_one_of_one_image(
    device: Device,
) -> None:
    inputs = tail_inputs(prefix_of(5), device, "flip_crop", count=129)
    inputs.set_epoch(0)

    found = list(inputs.of_view(1))

    first, second, _ = inputs.batches(1)
    pixels = views("flip_crop", 129).render(1, 0, 129)
    assert [len(batch) for batch in found] == [64, 64]
    assert torch.equal(torch.cat(found), pixels[torch.cat([first, second])])


def test_the_batches_of_a_view_are_the_same_under_autocast(device: Device) -> None:
    plain, inside = (tail_inputs(prefix_of(4), device) for _ in range(2))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = list(inside.of_view(0))

    assert torch.equal(torch.cat(found), torch.cat(list(plain.of_view(0))))


def test_training_images_grow_to_their_size_and_validation_has_it_from_the_first(
    device: Device,
) -> None:
    growing = config("flip").model_copy(
        update={
            "data": config("flip").data.model_copy(update={"image_size": 64}),
            "train": TrainConfig(epochs=9, first_image_size=24),
        }
    )
    inputs = TailInputs(growing, dataset(20), PrefixOutputs(prefix_of(5), device))
    sizes = []
    for epoch in range(9):
        inputs.set_epoch(epoch)
        batch, _ = inputs.batch(torch.arange(4))
        sizes.append(batch.shape[-1])
        assert inputs.of("val").shape[1:3] == (64, 64)
        of_that_size = TailInputs(_of_size(growing, sizes[-1]), dataset(20), inputs._outputs)
        of_that_size.set_epoch(epoch)
        assert torch.equal(batch, of_that_size.batch(torch.arange(4))[0])
    assert sizes == [24, 24, 40, 40, 56, 56, 64, 64, 64]
    assert growing.full_size_epoch == 6


def _of_size(growing: TrialConfig, size: int) -> TrialConfig:
    data = growing.data.model_copy(update={"image_size": size})
    return growing.model_copy(update={"data": data, "train": TrainConfig(epochs=9)})


@pytest.mark.parametrize(("epochs", "sizes"), [(1, [16]), (2, [16, 64]), (3, [16, 48, 64])])
def test_images_grow_in_few_epochs_too(epochs: int, sizes: list[int]) -> None:
    trial = TrialConfig.model_validate(
        {"data": {"image_size": 64}, "train": {"epochs": epochs, "first_image_size": 16}}
    )
    assert [trial.image_size_at(epoch) for epoch in range(epochs)] == sizes


def test_images_do_not_shrink() -> None:
    with pytest.raises(ValidationError, match=r"first_image_size=96 is above data\.image_size=64"):
        TrialConfig.model_validate({"train": {"first_image_size": 96}})


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor of so many images that an operation makes."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images, self.bytes = images, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.ndim and made.shape[0] == self.images:
            self.bytes = max(self.bytes, made.nbytes)
        return made


def metrics_of(
    config: TrialConfig, device: Device, store: ArrayStore | None
) -> tuple[list[dict[str, float]], int]:
    """The metrics of a trial's epochs, and the bytes of the largest tensor of all its images."""
    tuner, found = FineTuner(config, device, store), []
    with Largest(len(tuner.dataset.train)) as largest:
        while not tuner.finished:
            metrics = tuner.train_epoch()
            found.append({k: v for k, v in metrics.items() if k != "epoch_seconds"})
    return found, largest.bytes


class TestTooMuch:
    """Where neither the store nor memory has room."""

    @pytest.fixture
    def little_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prefix_module, "_LITTLE", 0)
        memory = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=1000))
        monkeypatch.setattr(prefix_module, "psutil", memory)

    @pytest.mark.parametrize("depth", [0, 2, 4, 5])
    @pytest.mark.parametrize("policy", ["none", "flip", "flip_crop", "trivial"])
    def test_batches_are_rendered_and_pass_the_prefix_as_they_are_asked_for_to_the_bit(
        self, device: Device, policy: Policy, depth: int, request: pytest.FixtureRequest
    ) -> None:
        indices = torch.tensor([5, 0, COUNT - 1, 5, 77])
        usual = tail_inputs(prefix_of(depth), device, policy, side=20)
        request.getfixturevalue("little_room")
        inputs = tail_inputs(prefix_of(depth), device, policy, side=20)

        for epoch in range(3):
            usual.set_epoch(epoch)
            inputs.set_epoch(epoch)
            assert torch.equal(inputs.batch(indices)[0], usual.batch(indices)[0])
        assert usual.in_memory("train")[1:]
        assert inputs.in_memory("train")[1:] == []

    @pytest.mark.parametrize("count", [CHUNK, CHUNK + 1, CHUNK + 2])
    def test_an_image_is_alone_only_where_it_is_so_in_its_chunk(
        self, count: int, device: Device, request: pytest.FixtureRequest
    ) -> None:
        usual = tail_inputs(prefix_of(2), device, "flip", count, side=20)
        request.getfixturevalue("little_room")
        inputs = tail_inputs(prefix_of(2), device, "flip", count, side=20)
        several = torch.arange(count)
        for indices in (several, several.roll(1), several[:1], several[-1:], several[-2:]):
            for epoch in range(2):
                usual.set_epoch(epoch)
                inputs.set_epoch(epoch)
                assert torch.equal(inputs.batch(indices)[0], usual.batch(indices)[0])

    @pytest.mark.parametrize("depth", [0, 4, 5])
    def test_a_split_is_computed_in_the_same_chunks_whenever_it_is_read(
        self, device: Device, depth: int, little_room: None
    ) -> None:
        outputs = PrefixOutputs(prefix_of(depth), device)
        inputs = TailInputs(config(), dataset(), outputs)

        for mirrored in (False, True):
            found = inputs.of("val", mirrored=mirrored)
            assert isinstance(found, prefix_module.Recomputed)
            kept = outputs.on(inputs._views_of("val"), 0)
            if not mirrored:
                assert all(
                    torch.equal(one, other)
                    for one, other in zip(found.split(CHUNK), kept.split(CHUNK), strict=True)
                )
        assert len(inputs.in_memory("val")) == 1

    @pytest.mark.slow
    @pytest.mark.parametrize(("policy", "depth"), [("flip", 4), ("trivial", 1)])
    def test_a_trial_has_the_same_metrics_and_holds_no_split(
        self,
        policy: str,
        depth: int,
        tiny: Callable[..., TrialConfig],
        device: Device,
        tmp_path: Path,
        request: pytest.FixtureRequest,
    ) -> None:
        data = {"mirror": True, "limit": 300}  # more training images than a chunk has
        sections = {"data": data, "model": {"unfreeze_depth": depth}}
        trial = tiny(**sections, augment={"policy": policy}, train={"epochs": 2})
        split = PrefixOutputs(prefix_of(depth), device).image_bytes(16) * 100
        usual, largest = metrics_of(trial, device, None)
        assert largest >= split
        request.getfixturevalue("little_room")
        store = ArrayStore(tmp_path / "store", 1000)

        found, largest = metrics_of(trial, device, store)

        assert found == usual
        assert largest < split / 3
        assert store.entries() == []

    def test_a_fold_takes_its_images_of_the_pool_as_they_are_asked_for(
        self, device: Device, request: pytest.FixtureRequest
    ) -> None:
        fold, trial = dataset(300).folded("2/5"), config("flip")
        usual = TailInputs(trial, fold, PrefixOutputs(prefix_of(4), device)).of("val")
        request.getfixturevalue("little_room")
        inputs = TailInputs(trial, fold, PrefixOutputs(prefix_of(4), device))
        found = inputs.of("val")
        assert isinstance(found, prefix_module.Recomputed)
        assert torch.equal(torch.cat(list(found.split(CHUNK))), usual)
        inputs.set_epoch(0)
        assert len(inputs.batch(torch.arange(5))[0]) == 5
        assert inputs.in_memory("train")[1:] == inputs.in_memory("val")[1:] == []

    def test_where_the_store_has_room_they_are_stored(
        self, device: Device, tmp_path: Path, little_room: None
    ) -> None:
        for cap, kept in ((10**9, True), (1000, False)):
            outputs = PrefixOutputs(prefix_of(4), device, ArrayStore(tmp_path / str(cap), cap))
            found = TailInputs(config(), dataset(), outputs).of("val")
            assert isinstance(found, torch.Tensor) == kept
