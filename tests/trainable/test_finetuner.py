"""One trial: repeatable, resumable, and it learns."""

from __future__ import annotations

import io
import math
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import BatchNorm2d
from torchvision.transforms.v2 import functional as F

from tests.helpers.examples import first_third
from tests.helpers.networks import plain_resnet18
from tests.trainable.test_gpu_trials import Pretended
from trainable.config import TrialConfig
from trainable.data.sizes import fit
from trainable.device import Device, resolve_device
from trainable.finetuner import DivergedError, FineTuner
from trainable.network.cut_network import MEAN, STD
from trainable.network.small_maps import Im2colConv2d
from trainable.runtime import Runtime

TinyConfig = Callable[..., TrialConfig]
Metrics = dict[str, float]

REGULARIZED = {
    "data": {"mirror": True, "limit": 100},
    "augment": {"policy": "flip", "mixup": 0.4, "cutmix": 1.0, "num_views": 2},
    "optim": {"l1": 1e-5, "label_smoothing": 0.1, "layer_decay": 0.7},
}
"""A trial with a draw of every kind in it."""

RESUMED = list(
    dict.fromkeys(
        [
            (1, "sgd", "plateau"),
            (5, "adam", "cosine"),
            (0, "adamw", "one_cycle"),
            (0, "sgd", "step"),
            (0, "adam", "constant"),
            (1, "adamw", "one_cycle"),
            (5, "sgd", "one_cycle"),
            *(
                (0, name, schedule)
                for name in ("sgd", "adam", "adamw")
                for schedule in ("constant", "cosine", "one_cycle", "step", "plateau")
            ),
        ]
    )
)
"""Depth, optimizer and schedule."""

GOLDEN: dict[int, list[Metrics]] = {
    0: [
        {"train_loss": 2.312466, "train_acc": 0.1125, "val_loss": 2.307185, "val_acc": 0.2},
        {"train_loss": 2.307078, "train_acc": 0.15, "val_loss": 2.300244, "val_acc": 0.15},
    ],
    1: [
        {"train_loss": 2.40725, "train_acc": 0.1375, "val_loss": 2.289479, "val_acc": 0.175},
        {"train_loss": 1.838861, "train_acc": 0.4125, "val_loss": 2.253105, "val_acc": 0.2},
    ],
}
"""By depth, the metrics of two epochs in fp32 on one thread."""


def epochs(tuner: FineTuner, count: int) -> list[Metrics]:
    """Metrics of so many epochs, but for the time they took."""
    seen = [tuner.train_epoch() for _ in range(count)]
    return [{k: v for k, v in metrics.items() if k != "epoch_seconds"} for metrics in seen]


def until_the_end(tuner: FineTuner) -> list[float]:
    """Validation losses of all epochs until the trial ends itself."""
    losses = []
    while not tuner.finished:
        losses.append(tuner.train_epoch()["val_loss"])
    return losses


def weights(tuner: FineTuner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tuner.network.net.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """A state written and read back, without pickled code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def penalty(tuner: FineTuner) -> float:
    return sum(p.abs().sum().item() for p in tuner.network.tail.parameters() if p.ndim > 1)


@pytest.fixture
def tune(tiny: TinyConfig, device: Device) -> Callable[..., FineTuner]:
    """A tuner of a small trial, its sections changed by keyword."""
    return lambda **sections: FineTuner(tiny(**sections), device)


class TestRepeatability:
    @pytest.mark.parametrize("depth", first_third([1, 0, 5]))
    def test_the_same_config_gives_the_same_metrics_and_weights(
        self, depth: int, tune: Callable[..., FineTuner]
    ) -> None:
        first, second = (
            tune(**{**REGULARIZED, "model": {"unfreeze_depth": depth}}) for _ in range(2)
        )
        metrics = epochs(first, 2)
        torch.manual_seed(1)

        assert epochs(second, 2) == metrics
        assert same(weights(first), weights(second))

    @pytest.mark.parametrize("policy", ["flip_crop", "trivial", "rand"])
    def test_random_views_are_the_same_in_each_trial(
        self, policy: str, tune: Callable[..., FineTuner]
    ) -> None:
        first, second = (
            tune(data={"limit": 100}, augment={"policy": policy, "num_views": 2}) for _ in range(2)
        )

        assert epochs(first, 3) == epochs(second, 3)

    def test_another_seed_gives_another_trial_on_the_same_split(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        first, second = (tune(train={"seed": seed}) for seed in (0, 1))

        assert first.dataset.fingerprint == second.dataset.fingerprint
        assert epochs(first, 1) != epochs(second, 1)

    def test_evaluating_in_between_changes_nothing(self, tune: Callable[..., FineTuner]) -> None:
        plain, watched = (tune(data={"limit": 100}, model={"unfreeze_depth": 1}) for _ in range(2))

        watched.evaluate("test")
        first = epochs(watched, 1)
        watched.evaluate("train")

        assert first + epochs(watched, 1) == epochs(plain, 2)

    def test_training_leaves_the_global_generator_alone(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        before = torch.get_rng_state()

        epochs(tune(**REGULARIZED), 1)

        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("depth", [0, 1])
    def test_two_epochs_give_the_recorded_metrics(
        self, depth: int, tune: Callable[..., FineTuner]
    ) -> None:
        tuner = tune(
            model={"unfreeze_depth": depth},
            augment={"policy": "flip_crop"},
            optim={"name": "sgd", "lr": 0.002},
        )

        assert epochs(tuner, 2) == [pytest.approx(metrics, rel=1e-3) for metrics in GOLDEN[depth]]


class TestResuming:
    @pytest.mark.parametrize(("depth", "optimizer", "schedule"), first_third(RESUMED))
    def test_a_trial_resumed_from_a_checkpoint_equals_one_uninterrupted(
        self, depth: int, optimizer: str, schedule: str, tune: Callable[..., FineTuner]
    ) -> None:
        sections = {
            "data": {"limit": 100},
            "model": {"unfreeze_depth": depth},
            "optim": {"name": optimizer, "lr": 0.02},
            "schedule": {"name": schedule},
        }
        whole, resumed = tune(**sections), tune(**sections)
        epochs(whole, 1)
        resumed.load_state_dict(through_a_file(whole.state_dict()))

        assert epochs(resumed, 2) == epochs(whole, 2)
        assert same(weights(resumed), weights(whole))

    @pytest.mark.parametrize("done", [1, 2, 3])
    def test_a_trial_can_be_resumed_after_any_epoch(
        self, done: int, tune: Callable[..., FineTuner]
    ) -> None:
        sections = {**REGULARIZED, "train": {"epochs": 4}}
        whole, resumed = tune(**sections), tune(**sections)
        epochs(whole, done)
        resumed.load_state_dict(through_a_file(whole.state_dict()))

        assert epochs(resumed, 4 - done) == epochs(whole, 4 - done)
        assert resumed.finished

    def test_one_state_serves_any_number_of_trials(self, tune: Callable[..., FineTuner]) -> None:
        whole, first, second = (tune(train={"epochs": 4}) for _ in range(3))
        epochs(whole, 1)
        state = through_a_file(whole.state_dict())

        first.load_state_dict(state)
        rest = epochs(first, 3)
        second.load_state_dict(state)

        assert epochs(second, 3) == rest

    def test_plateau_and_early_stopping_go_on_counting(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        sections = {
            "optim": {"name": "sgd", "lr": 1.0},
            "schedule": {"name": "plateau"},
            "train": {"epochs": 60, "early_stopping": 8},
        }
        whole, resumed = tune(**sections), tune(**sections)
        until_the_end(whole)
        stopped_at = whole.epoch
        first = tune(**sections)
        epochs(first, stopped_at - 4)
        resumed.load_state_dict(through_a_file(first.state_dict()))

        until_the_end(resumed)

        assert resumed.epoch == stopped_at < 60
        assert same(weights(resumed), weights(whole))

    def test_a_checkpoint_of_another_depth_is_refused(self, tune: Callable[..., FineTuner]) -> None:
        with pytest.raises(ValueError, match="not of a tail of depth 1"):
            tune(model={"unfreeze_depth": 1}).load_state_dict(tune().state_dict())

    def test_a_checkpoint_holds_the_tail_alone(self, tune: Callable[..., FineTuner]) -> None:
        tuner = tune(model={"unfreeze_depth": 1})

        assert {tuner.network.stage_of(name) for name in tuner.state_dict()["tail"]} == {
            "layer4",
            "head",
        }


class TestFrozenLayers:
    @pytest.mark.parametrize("depth", range(6))
    def test_training_changes_the_tail_alone(
        self, depth: int, tune: Callable[..., FineTuner]
    ) -> None:
        tuner = tune(data={"limit": 100}, model={"unfreeze_depth": depth})
        before = weights(tuner)

        epochs(tuner, 1)

        after = weights(tuner)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == set(tuner.network.tail_state())
        assert {tuner.network.stage_of(name) for name in changed} == set(tuner.network.trained)

    @pytest.mark.parametrize("depth", [0, 2])
    def test_evaluating_changes_nothing(self, depth: int, tune: Callable[..., FineTuner]) -> None:
        tuner = tune(model={"unfreeze_depth": depth})
        before = weights(tuner)

        tuner.evaluate("val")

        assert same(before, weights(tuner))


class TestMetrics:
    def test_an_epoch_tells_losses_accuracies_and_time(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        metrics = tune().train_epoch()

        assert set(metrics) == {"train_loss", "train_acc", "val_loss", "val_acc", "epoch_seconds"}
        assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
        assert 0 <= metrics["train_acc"] <= 1
        assert metrics["epoch_seconds"] > 0

    def test_validation_metrics_are_those_of_the_validation_split(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        tuner = tune()
        metrics = tuner.train_epoch()
        val = tuner.evaluate("val")

        assert (val.loss, val.accuracy) == (metrics["val_loss"], metrics["val_acc"])
        assert torch.equal(val.labels, tuner.dataset.val.labels)
        assert val.logits.shape == (40, 10)

    @pytest.mark.parametrize("depth", [0, 1, 5])
    @pytest.mark.parametrize("split", ["val", "test"])
    def test_predictions_are_those_of_the_whole_network(
        self, depth: int, split: Any, tune: Callable[..., FineTuner]
    ) -> None:
        tuner = tune(data={"limit": 100}, model={"unfreeze_depth": depth})
        epochs(tuner, 1)
        plain = plain_resnet18(tuner.network.net.state_dict())
        pixels = fit(tuner.dataset.split(split).images, 16)

        with torch.no_grad():
            expected = plain(F.normalize(pixels / 255, list(MEAN), list(STD)))

        torch.testing.assert_close(tuner.evaluate(split).logits, expected, rtol=1e-3, atol=1e-3)

    def test_the_training_loss_is_told_without_the_penalty(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        tuner = tune(optim={"l1": 1.0, "lr": 1e-8})

        assert tuner.train_epoch()["train_loss"] < 10


def normalizations(tuner: FineTuner) -> dict[str, BatchNorm2d]:
    """The tail's, by name."""
    modules = tuner.network.tail.named_modules()
    return {name: module for name, module in modules if isinstance(module, BatchNorm2d)}


def measured(tuner: FineTuner, view: int) -> dict[str, tuple[Tensor, Tensor]]:
    """The mean over a view's batches of the mean and variance that each BatchNorm meets."""
    seen: dict[str, list[Tensor]] = {name: [] for name in normalizations(tuner)}
    for name, norm in normalizations(tuner).items():
        norm.register_forward_pre_hook(lambda _, inputs, at=seen[name]: at.append(inputs[0]))
    tuner.inputs.set_epoch(view)
    tuner.network.tail.train()
    with torch.no_grad():
        for indices in tuner.inputs.batches(view):
            tuner.network.tail(tuner.inputs.batch(indices)[0])
    return {
        name: (
            torch.stack([met.mean((0, 2, 3)) for met in batches]).mean(0),
            torch.stack([met.var((0, 2, 3)) for met in batches]).mean(0),
        )
        for name, batches in seen.items()
    }


class TestStatistics:
    SECTIONS: ClassVar = {
        "data": {"limit": 100, "mirror": True},
        "model": {"unfreeze_depth": 1},
        "augment": {"policy": "flip_crop", "num_views": 3},
        "train": {"batch_size": 32},
    }

    def test_they_are_measured_anew_on_the_first_view(self, tune: Callable[..., FineTuner]) -> None:
        tuner, other = tune(**self.SECTIONS), tune(**self.SECTIONS)
        epochs(tuner, 2)
        other.load_state_dict(tuner.state_dict())
        before, expected = weights(tuner), measured(other, view=0)

        tuner.reestimate_statistics()

        assert len(expected) == 5
        for name, norm in normalizations(tuner).items():
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert norm.momentum == 0.1
            mean, variance = expected[name]
            torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)
        after = weights(tuner)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert len(changed) == 3 * len(expected)
        assert {tuner.network.stage_of(name) for name in changed} == {"layer4"}
        assert {name.rpartition(".")[2] for name in changed} == {
            "running_mean",
            "running_var",
            "num_batches_tracked",
        }

    def test_a_last_batch_of_one_image_is_left_out(self, tune: Callable[..., FineTuner]) -> None:
        sections = {**self.SECTIONS, "train": {"batch_size": 79}}
        tuner = tune(**sections)
        assert [len(batch) for batch in tuner.inputs.batches(0)] == [79, 1]

        tuner.reestimate_statistics()

        assert {int(norm.num_batches_tracked) for norm in normalizations(tuner).values()} == {1}

    def test_a_head_alone_has_none(self, tune: Callable[..., FineTuner]) -> None:
        tuner = tune()
        before = weights(tuner)

        tuner.reestimate_statistics()

        assert same(before, weights(tuner))


class TestRuntime:
    def test_it_decides_the_threads_and_no_metric_but_by_them(
        self, tiny: TinyConfig, device: Device
    ) -> None:
        tuner = FineTuner.on(Runtime(threads=1), tiny())

        assert tuner.device == device
        assert epochs(tuner, 1) == epochs(FineTuner(tiny(), device), 1)

    @pytest.mark.parametrize(
        ("sizes", "cached"), [((0, 10**9), False), ((10**9, 0), True), ((0, 0), False)]
    )
    def test_it_caps_the_store_of_a_trial_on_a_cpu(
        self, sizes: tuple[int, int], cached: bool, tiny: TinyConfig, tmp_path: Path
    ) -> None:
        runtime = Runtime(1, None, True, str(tmp_path), *sizes)

        FineTuner.on(runtime, tiny()).train_epoch()

        assert any(tmp_path.iterdir()) == cached

    @pytest.mark.slow
    @pytest.mark.parametrize("cached", [True, False])
    def test_it_caps_the_store_of_a_trial_on_a_gpu_apart(
        self, cached: bool, tiny: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []

        def resolve(*given: Any) -> Device:
            asked.append(given)
            return Pretended(torch.device("cpu"), torch.float32, 1)

        monkeypatch.setattr("trainable.finetuner.resolve_device", resolve)
        sizes = (0, 10**9) if cached else (10**9, 0)
        runtime = Runtime(1, 0.5, False, str(tmp_path), *sizes)

        tuner = FineTuner.on(runtime, tiny(), micro_batches=2)
        tuner.train_epoch()

        assert asked == [("fp32", 1, 0.5, False, "auto")]
        assert tuner.micro_batches == 2
        assert any(tmp_path.iterdir()) == cached


class TestEnding:
    def test_a_trial_is_finished_after_its_last_epoch(self, tune: Callable[..., FineTuner]) -> None:
        tuner = tune(train={"epochs": 2})

        ends = [tuner.finished]
        for _ in range(2):
            tuner.train_epoch()
            ends.append(tuner.finished)

        assert ends == [False, False, True]

    @pytest.mark.parametrize("patience", [1, 3])
    def test_early_stopping_ends_a_trial_whose_validation_loss_stays(
        self, patience: int, tune: Callable[..., FineTuner]
    ) -> None:
        tuner = tune(
            optim={"lr": 0.5},
            schedule={"name": "constant"},
            train={"epochs": 200, "early_stopping": patience},
        )

        losses = until_the_end(tuner)

        best = losses.index(min(losses))
        assert len(losses) == best + 1 + patience < 200
        for end in range(1, best + 1):
            since = end - 1 - losses.index(min(losses[:end]))
            assert since < patience

    def test_on_all_images_nothing_stops_a_trial_early(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        """Its only loss is that of images that it trains on."""
        train = {"epochs": 12, "early_stopping": 1}
        tuner = tune(
            data={"fold": "all"}, optim={"lr": 0.5}, schedule={"name": "constant"}, train=train
        )
        losses = until_the_end(tuner)
        assert len(losses) == 12
        assert losses != sorted(losses, reverse=True), "with patience 1 it would have stopped"

    def test_without_early_stopping_a_trial_goes_on(self, tune: Callable[..., FineTuner]) -> None:
        tuner = tune(optim={"lr": 0.5}, schedule={"name": "constant"}, train={"epochs": 30})

        losses = until_the_end(tuner)

        assert len(losses) == 30
        assert losses.index(min(losses)) < 29

    def test_a_loss_that_is_no_number_ends_the_trial(self, tune: Callable[..., FineTuner]) -> None:
        tuner = tune(
            model={"unfreeze_depth": 1},
            optim={"name": "sgd", "lr": 100, "weight_decay": 10},
            schedule={"name": "constant"},
            train={"epochs": 20},
        )

        with pytest.raises(DivergedError, match=r"epoch \d+: train_loss=\S+, val_loss=\S+"):
            epochs(tuner, 20)
        assert not tuner.finished


class TestLearning:
    @pytest.mark.parametrize("depth", [1, pytest.param(5, marks=pytest.mark.slow)])
    def test_one_batch_is_learnt_by_heart(self, depth: int, tune: Callable[..., FineTuner]) -> None:
        tuner = tune(
            model={"unfreeze_depth": depth},
            schedule={"name": "constant"},
            train={"batch_size": 16},
        )

        losses = list(islice(tuner.overfit_batch(), 20))

        assert losses[0] > 1.5
        assert losses[-1] < 0.05

    @pytest.mark.slow
    def test_a_few_epochs_lower_the_loss(self, tune: Callable[..., FineTuner]) -> None:
        seen = epochs(tune(model={"unfreeze_depth": 1}), 3)

        assert seen[-1]["train_loss"] < 0.5 * seen[0]["train_loss"]
        assert seen[-1]["train_acc"] > 0.9

    def test_batches_are_no_larger_than_the_data(self, tune: Callable[..., FineTuner]) -> None:
        whole, huge = (tune(train={"batch_size": size}) for size in (160, 1000))

        assert epochs(whole, 2) == epochs(huge, 2)

    def test_an_l1_penalty_shrinks_weights(self, tune: Callable[..., FineTuner]) -> None:
        plain, penalized = (tune(optim={"l1": l1, "lr": 0.01}) for l1 in (0.0, 0.1))
        epochs(plain, 3)
        epochs(penalized, 3)

        assert penalty(penalized) < 0.7 * penalty(plain)

    def test_weight_decay_shrinks_weights(self, tune: Callable[..., FineTuner]) -> None:
        plain, decayed = (tune(optim={"weight_decay": decay, "lr": 0.01}) for decay in (0.0, 5.0))
        epochs(plain, 3)
        epochs(decayed, 3)

        assert penalty(decayed) < 0.8 * penalty(plain)

    @pytest.mark.slow
    def test_label_smoothing_keeps_the_training_loss_above_the_targets_entropy(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        model = {"unfreeze_depth": 1}
        entropy = -(0.55 * math.log(0.55) + 9 * 0.05 * math.log(0.05))

        sharp, smooth = (
            epochs(tune(model=model, optim={"label_smoothing": share}), 2)[1]["train_loss"]
            for share in (0.0, 0.5)
        )

        assert sharp < entropy < smooth

    @pytest.mark.parametrize("depth", [0, 5])
    @pytest.mark.parametrize("alphas", [{"mixup": 0.4}, {"cutmix": 1.0}])
    def test_mixed_batches_train_what_enters_the_tail(
        self, depth: int, alphas: dict[str, float], tune: Callable[..., FineTuner]
    ) -> None:
        sections = {"data": {"limit": 100}, "model": {"unfreeze_depth": depth}}
        plain, mixed = tune(**sections), tune(**sections, augment=alphas)

        assert epochs(plain, 1) != (seen := epochs(mixed, 1))
        assert all(math.isfinite(value) for value in seen[0].values())
        assert not same(weights(plain), weights(mixed))

    @pytest.mark.slow
    @pytest.mark.parametrize("depth", [0, 5])
    def test_lower_precision_learns_much_the_same(
        self, depth: int, tiny: TinyConfig, device: Device
    ) -> None:
        config = tiny(data={"limit": 100}, model={"unfreeze_depth": depth})

        exact = epochs(FineTuner(config, device), 1)
        rounded = epochs(FineTuner(config, resolve_device("bf16", 1)), 1)

        assert rounded != exact
        assert rounded[0]["train_loss"] == pytest.approx(exact[0]["train_loss"], rel=0.05)

    def test_what_is_trained_multiplies_small_maps_in_bfloat16_alone(
        self, tiny: TinyConfig, device: Device
    ) -> None:
        config = tiny(data={"limit": 100}, model={"unfreeze_depth": 1})

        exact, rounded = (FineTuner(config, each) for each in (device, resolve_device("bf16", 1)))

        found = {n for n, m in rounded.network.net.named_modules() if type(m) is Im2colConv2d}
        assert "layer4.1.conv2" in found
        assert all(name.startswith("layer4") for name in found)
        assert not any(type(each) is Im2colConv2d for each in exact.network.net.modules())

    @pytest.mark.gpu
    @pytest.mark.parametrize("depth", [0, 1])
    def test_a_gpu_learns_what_a_cpu_learns(self, depth: int, tiny: TinyConfig) -> None:
        config = tiny(model={"unfreeze_depth": depth})
        cpu = Device(torch.device("cpu"), torch.float32, 1)

        there, here = (FineTuner(config, device) for device in (resolve_device("fp32"), cpu))

        expected = here.train_epoch()["train_loss"]
        assert there.device.torch_device.type == "cuda"
        assert there.train_epoch()["train_loss"] == pytest.approx(expected, rel=0.02)

    @pytest.mark.realdata
    def test_a_head_on_a_real_backbone_tells_real_photographs_apart(
        self, real_data: Path, tmp_path: Path, device: Device
    ) -> None:
        with tarfile.open(real_data / "data" / "hymenoptera.tar") as archive:
            archive.extractall(tmp_path, filter="data")
        (root,) = (path.parent for path in tmp_path.rglob("train"))
        backbone = real_data / "weights" / "resnet18-complete.pt"
        config = TrialConfig.model_validate(
            {
                "data": {"source": "image_folder", "root": root, "image_size": 64},
                "model": {"weights": backbone, "unfreeze_depth": 0},
                "train": {"epochs": 20, "batch_size": 32},
            }
        )

        accuracies = [metrics["val_acc"] for metrics in epochs(FineTuner(config, device), 20)]

        assert max(accuracies) > 0.65


@pytest.mark.parametrize("changes", [{}, REGULARIZED])
@pytest.mark.parametrize("parts", [2, 3])
def test_batches_in_parts_are_the_same_update(
    tiny: TinyConfig, device: Device, parts: int, changes: dict[str, Any]
) -> None:
    """Without BatchNorm in what is trained, all but rounding."""
    whole, divided = (FineTuner(tiny(**changes), device, micro_batches=n) for n in (1, parts))
    for expected, found in zip(epochs(whole, 2), epochs(divided, 2), strict=True):
        for name in expected.keys() - {"epoch_seconds"}:
            assert found[name] == pytest.approx(expected[name], abs=1e-5)


@pytest.mark.slow
def test_batches_in_parts_train_deeper_layers_too(tiny: TinyConfig, device: Device) -> None:
    config = tiny(model={"unfreeze_depth": 2}, data={"limit": 100})
    losses = [m["train_loss"] for m in epochs(FineTuner(config, device, micro_batches=2), 3)]
    assert losses[-1] < losses[0]
