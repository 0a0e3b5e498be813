"""The weighted and the focal loss, against their definitions and PyTorch's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from trainable.augment.mixing import Mixer
from trainable.config import AugmentConfig, TrialConfig
from trainable.data.datasets import load_dataset
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.losses import BETA, image_weights, masses_of, training_loss
from trainable.network.cut_network import build
from trainable.optim import Updater

COUNTS = (60, 12, 3)
LABELS = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
CLASSES = 3

TinyConfig = Callable[..., TrialConfig]


def outputs(count: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, CLASSES, generator=draw, dtype=torch.float64)
    return logits, torch.randint(CLASSES, (count,), generator=draw)


def test_every_class_counts_alike_where_weights_are_balanced() -> None:
    weights = image_weights(LABELS, "balanced")
    assert weights is not None
    of_classes = torch.zeros(3).index_add_(0, LABELS, weights)
    assert of_classes.tolist() == pytest.approx([25, 25, 25])
    assert image_weights(LABELS, "none") is None


def test_effective_weights_are_those_of_cui_et_al() -> None:
    weights = image_weights(LABELS, "effective")
    assert weights is not None
    found = [weights[label == LABELS][0].item() for label in range(3)]
    wanted = [(1 - BETA) / (1 - BETA**count) for count in COUNTS]
    assert [each / found[0] for each in found] == pytest.approx([w / wanted[0] for w in wanted])
    # Of many images, more add little: the weight stays above that of balance.
    many = torch.repeat_interleave(torch.arange(2), torch.tensor([20_000, 100]))
    effective, balanced = (image_weights(many, kind) for kind in ("effective", "balanced"))
    assert effective is not None
    assert balanced is not None
    assert effective[-1] / effective[0] < 0.1 * balanced[-1] / balanced[0]


def test_weights_that_images_bring_along_are_multiplied_with_those_of_their_classes() -> None:
    given = np.linspace(0, 1, len(LABELS))
    own = torch.from_numpy(given).float()
    alone = image_weights(LABELS, "none", given)
    assert alone is not None
    torch.testing.assert_close(alone, own / own.mean())
    assert image_weights(LABELS, "none", np.empty(0)) is None
    both, balanced = image_weights(LABELS, "balanced", given), image_weights(LABELS, "balanced")
    assert both is not None
    assert balanced is not None
    ratio = (both[1:] / (balanced * own)[1:]).unique()
    assert ratio.max() / ratio.min() == pytest.approx(1, abs=1e-5)


def test_a_class_without_images_is_passed_over() -> None:
    weights = image_weights(torch.tensor([0, 0, 2]), "balanced")
    assert weights is not None
    assert weights.tolist() == pytest.approx([0.75, 0.75, 1.5])


def test_by_class_it_is_the_weighted_mean_of_pytorch() -> None:
    logits, labels = outputs()
    of_classes = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    masses = masses_of(labels, CLASSES).double() * of_classes
    found = training_loss(logits, masses, 0.0, 0.0) / masses.sum()
    assert found.item() == pytest.approx(F.cross_entropy(logits, labels, of_classes).item())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_weights_it_is_the_cross_entropy_of_pytorch(smoothing: float) -> None:
    logits, labels = outputs()
    found = training_loss(logits, masses_of(labels, CLASSES), smoothing, 0.0) / len(labels)
    wanted = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_is_that_of_lin_et_al(gamma: float) -> None:
    logits, labels = outputs()
    right = logits.softmax(1)[torch.arange(len(labels)), labels]
    wanted = -((1 - right) ** gamma * right.log()).mean()
    found = training_loss(logits, masses_of(labels, CLASSES), 0.0, gamma) / len(labels)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 5.0])
def test_the_slope_of_a_focal_loss_is_finite_where_the_answer_is_certain(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0, -200.0], [0.0, 200.0, 0.0]], requires_grad=True)
    training_loss(logits, masses_of(torch.tensor([0, 0]), CLASSES), 0.1, gamma).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("alphas", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_of_mixed_images_each_share_has_the_weight_of_its_image(alphas: dict[str, float]) -> None:
    """So the loss of a mixture is the mixture of the losses, each by its weight."""
    logits, labels = outputs(8)
    weights = torch.tensor([0.5, 1.0, 4.0])[labels]
    mixer = Mixer(AugmentConfig(**alphas), CLASSES, torch.Generator().manual_seed(1))
    counted = masses_of(labels, CLASSES, weights)
    inputs, targets, masses = mixer(torch.eye(8), labels, counted)
    assert masses is not None
    assert targets.ndim == 2
    share_of = inputs  # row: how much of each image is in the mixture
    logs = logits.log_softmax(1)
    of_label = -logs[:, labels]  # column: the loss, had the mixture each image's label
    wanted = (share_of * weights * of_label).sum() / (share_of * weights).sum()
    found = training_loss(logits, masses, 0.0, 0.0) / masses.sum()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize("optim", [{}, {"focal_gamma": 2.0}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("mixed", [False, True])
def test_parts_of_a_batch_add_up_to_its_weighted_mean(
    tiny: TinyConfig, device: Device, parts: int, optim: dict[str, float], mixed: bool
) -> None:
    """Parts of few and of heavy images alike: a mean of the parts' means would differ."""
    draw = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(16, 512, generator=draw), torch.arange(16) // 8 * 2
    masses = masses_of(labels, CLASSES, torch.linspace(0.01, 9, 16))
    targets = masses / masses.sum(1, keepdim=True) if mixed else labels
    config = tiny(optim={"name": "sgd", "lr": 1.0, "weight_decay": 0.0, **optim})
    steps = []
    for count in (1, parts):
        network = build("resnet18", CLASSES, 0, seed=0)
        updater = Updater(config, network, device, count, 10)
        loss, right = updater.step(inputs, targets, masses)
        head = network.tail.state_dict()
        steps.append((loss, right, *(head[name].clone() for name in sorted(head))))
    for whole, divided in zip(*steps, strict=True):
        torch.testing.assert_close(whole, divided, rtol=1e-4, atol=1e-5)
    logits = build("resnet18", CLASSES, 0, seed=0).tail(inputs)
    smoothing, gamma = config.optim.label_smoothing, config.optim.focal_gamma
    wanted = training_loss(logits, masses, smoothing, gamma) / masses.sum()
    assert steps[0][0].item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"class_weights": "balanced"}},
        {"train": {"sampler": "balanced"}},
        {"optim": {"focal_gamma": 2.0}},
    ],
)
def test_each_changes_what_is_trained_and_no_measure_of_it(
    tiny: TinyConfig, device: Device, changes: dict[str, Any]
) -> None:
    whole = load_dataset(tiny().data)
    few = (whole.train.labels.numpy() > 0) | (np.arange(len(whole.train)) % 5 == 0)
    thinned = replace(whole, train=whole.train.at(np.flatnonzero(few)), fingerprint="thinned")
    plain, changed = (
        FineTuner(config, device, dataset=thinned) for config in (tiny(), tiny(**changes))
    )
    assert plain.evaluate("val").loss == changed.evaluate("val").loss
    assert plain.train_epoch()["val_loss"] != changed.train_epoch()["val_loss"]


def test_a_batch_whose_images_all_have_no_weight_teaches_nothing(
    tiny: TinyConfig, device: Device
) -> None:
    network = build("resnet18", CLASSES, 0, seed=0)
    config = tiny(optim={"name": "sgd", "weight_decay": 0.0})
    before = {name: value.clone() for name, value in network.tail.state_dict().items()}
    updater = Updater(config, network, device, 1, 10)
    loss, _ = updater.step(torch.randn(4, 512), torch.arange(4) % 3, torch.zeros(4, CLASSES))
    assert loss == 0
    assert all(
        torch.equal(value, before[name]) for name, value in network.tail.state_dict().items()
    )


def test_images_without_weight_are_as_if_they_were_not_there(
    tiny: TinyConfig, device: Device
) -> None:
    """Labels that are all wrong, of a third of the images, which count nothing."""
    whole = load_dataset(tiny().data)
    wrong = np.arange(len(whole.train)) % 3 == 0
    labels = torch.where(torch.from_numpy(wrong), 9 - whole.train.labels, whole.train.labels)
    config, losses = tiny(optim={"lr": 0.05}, train={"epochs": 3}), []
    for weights in (np.where(wrong, 0.0, 1.0), np.empty(0)):
        train = replace(whole.train, labels=labels, weights=weights)
        changed = replace(whole, train=train, fingerprint=f"wrong {len(weights)}")
        tuner = FineTuner(config, device, dataset=changed)
        losses.append([tuner.train_epoch()["val_loss"] for _ in range(3)][-1])
    assert losses[0] < losses[1]
