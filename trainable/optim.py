"""How weights are updated: optimizer, layer-wise learning rates, their schedule, the step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from trainable.config import OptimConfig, ScheduleConfig, TrialConfig
from trainable.device import Device
from trainable.losses import masses_of, several_loss, training_loss
from trainable.network.compilation import compiled, compiles
from trainable.network.cut_network import CutNetwork

_TINY: Final = 1e-12
"""What a batch counts at least, should all its images have the weight 0."""


def build_optimizer(config: OptimConfig, network: CutNetwork) -> Optimizer:
    """The optimizer of a tail: one group per stage for weights, one for the rest.

    A stage `n` below the head learns at `lr * layer_decay**n`. Biases and BatchNorm
    parameters, all of one dimension, have no weight decay.
    """
    groups: list[dict[str, Any]] = []
    for below_head, stage in enumerate(reversed(network.trained)):
        named = [p for name, p in network.net.named_parameters() if network.stage_of(name) == stage]
        lr = config.lr * config.layer_decay**below_head
        for decayed in (True, False):
            params = [p for p in named if (p.ndim > 1) == decayed]
            decay = config.weight_decay if decayed else 0.0
            groups.append({"params": params, "lr": lr, "weight_decay": decay})
    match config.name:
        case "sgd":
            return SGD(groups, lr=config.lr, momentum=0.9, nesterov=True, fused=True)
        case "adam":
            return Adam(groups, lr=config.lr, fused=True)
        case "adamw":
            return AdamW(groups, lr=config.lr, fused=True)


def without_regularization(config: TrialConfig) -> TrialConfig:
    """The same trial at its peak learning rate throughout, and with nothing but the loss to lower.

    A warm-up begins at a small part of the rate, and with smoothed labels no loss is near zero.
    """
    penalties = {"weight_decay": 0.0, "l1": 0.0, "label_smoothing": 0.0, "focal_gamma": 0.0}
    constant = ScheduleConfig(name="constant", warmup=0)
    optim = config.optim.model_copy(update=penalties)
    return config.model_copy(update={"optim": optim, "schedule": constant})


def penalized_weights(network: CutNetwork) -> list[nn.Parameter]:
    """The weights that weight decay and L1 act on."""
    return [p for p in network.tail.parameters() if p.ndim > 1]


class Updater:
    """Updates a tail's weights, a batch at a time.

    Args:
        config: The trial.
        network: The network whose tail is trained.
        device: Where it computes.
        micro_batches: Parts in which a batch passes the tail, one after the other.
        total_steps: The number of batches of the whole run.
        several: Whether an image may have any number of labels.

    Attributes:
        schedule: Moves the learning rate; whoever trains says when.
        compiled: Whether the tail is compiled.
        forward: The tail, compiled or not.
    """

    def __init__(
        self,
        config: TrialConfig,
        network: CutNetwork,
        device: Device,
        micro_batches: int,
        total_steps: int,
        *,
        several: bool = False,
    ) -> None:
        self._several = several
        self._config, self._device, self._micro_batches = config.optim, device, micro_batches
        self._penalized = penalized_weights(network)
        self._optimizer = build_optimizer(config.optim, network)
        self.schedule = Schedule(config.schedule, self._optimizer, total_steps)
        self.compiled = compiles(config.train.compile, device, total_steps)
        self.forward = compiled(network.tail) if self.compiled else network.tail

    def step(
        self, inputs: Tensor, targets: Tensor, masses: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One update.

        Args:
            inputs: The tail's, of shape (n, C, H, W) or (n, C).
            targets: Classes, int64 of shape (n,), or their shares, of shape (n, classes).
            masses: The same where images have weights, see :func:`trainable.losses.masses_of`, or
                any number of labels: :func:`trainable.losses.several_masses`.

        Returns:
            The loss in nats, by their weights if they have some, and the share of right answers,
            left on the device.
        """
        found = self._backward(inputs, targets, masses)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return found

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to go on from here."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken."""
        # The optimizer would go on to write into the caller's tensors.
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.schedule.load_state_dict(state["schedule"])

    def _backward(
        self, inputs: Tensor, targets: Tensor, masses: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Add up the gradients of a batch, in as many parts as it must be."""
        loss = right = torch.zeros((), device=inputs.device)
        weighted = targets if masses is None else masses
        mass = len(inputs) if masses is None else masses.sum().clamp(min=_TINY)
        parts = (rows.chunk(self._micro_batches) for rows in (inputs, targets, weighted))
        for number, (part, wanted, counted) in enumerate(zip(*parts, strict=True)):
            share = len(part) / len(inputs)
            with self._device.autocast():
                logits = self.forward(part).float()
            if masses is None and not self._config.focal_gamma:
                smoothing = self._config.label_smoothing
                part_loss = share * F.cross_entropy(logits, wanted, label_smoothing=smoothing)
            else:
                part_loss = self._sum(logits, counted) / mass
            (part_loss + (self._l1_penalty() if number == 0 else 0.0)).backward()
            loss = loss + part_loss.detach()
            right = right + share * self._hits(logits, wanted).float().mean()
        return loss, right

    def _hits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Which answers are right, of shape (n,)."""
        if self._several:
            return ((logits > 0) == (targets > 0.5)).all(1)
        return logits.argmax(1) == (targets if targets.ndim == 1 else targets.argmax(1))

    def _sum(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of a part of a batch before it is divided by what the whole batch counts."""
        smoothing, gamma = self._config.label_smoothing, self._config.focal_gamma
        if self._several:
            return several_loss(logits, targets, smoothing, gamma)
        masses = masses_of(targets, logits.shape[1])
        return training_loss(logits, masses, smoothing, gamma)

    def _l1_penalty(self) -> Tensor | float:
        l1 = self._config.l1
        return l1 * sum(weight.abs().sum() for weight in self._penalized) if l1 else 0.0


class Schedule:
    """A learning-rate schedule, stepped after each batch and after each epoch."""

    def __init__(self, config: ScheduleConfig, optimizer: Optimizer, total_steps: int) -> None:
        self._by_step = _by_step(config, optimizer, total_steps)
        self._by_epoch = (
            ReduceLROnPlateau(optimizer, factor=0.1, patience=2)
            if config.name == "plateau"
            else None
        )

    def after_batch(self) -> None:
        """Move on by one step."""
        self._by_step.step()

    def after_epoch(self, val_loss: float) -> None:
        """Tell the epoch's validation loss, which `plateau` goes by."""
        if self._by_epoch is not None:
            self._by_epoch.step(val_loss)

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to go on from here."""
        by_epoch = None if self._by_epoch is None else self._by_epoch.state_dict()
        return {"by_step": self._by_step.state_dict(), "by_epoch": by_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken."""
        self._by_step.load_state_dict(state["by_step"])
        if self._by_epoch is not None:
            self._by_epoch.load_state_dict(state["by_epoch"])


def _by_step(config: ScheduleConfig, optimizer: Optimizer, total_steps: int) -> LRScheduler:
    warmup_steps = round(config.warmup_share * total_steps)
    if config.name == "one_cycle":
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=max(2, total_steps),
            # A rise of a step or less has no slope: the run starts at the peak then.
            pct_start=config.warmup_share if config.warmup_share * total_steps > 1 else 0.0,
        )
    if config.name == "plateau":
        # It scales the rate it finds, so it leaves ReduceLROnPlateau's cuts alone.
        return LinearLR(optimizer, 1 / (warmup_steps + 1), total_iters=warmup_steps)
    shape = _SHAPES[config.name]

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        return shape((step - warmup_steps) / max(1, total_steps - warmup_steps))

    return LambdaLR(optimizer, factor)


_SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "cosine": lambda progress: (1 + math.cos(math.pi * min(progress, 1))) / 2,
    "step": lambda progress: 0.1 ** min(2, int(3 * progress)),
}
"""Share of the peak rate by progress (0 to 1) through what follows the warm-up."""
