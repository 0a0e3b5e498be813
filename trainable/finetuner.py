"""`FineTuner`: one trial, an epoch at a time."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainable.activations import CHUNK, Activations, PrefixOutputs, as_tail_input
from trainable.array_store import ArrayStore
from trainable.backbone import CutResNet, build
from trainable.classifier import Classifier, Spec
from trainable.config import TrialConfig
from trainable.datasets import Dataset, load_dataset
from trainable.device import Device, resolve_device
from trainable.image_folder import SplitName
from trainable.metrics import Predictions
from trainable.mixing import Mixer
from trainable.optim import Schedule, build_optimizer, penalized_weights
from trainable.pretrained import resolve_weights
from trainable.views import Views


class DivergedError(ArithmeticError):
    """The loss is not a finite number: the trial has no score."""


class FineTuner:
    """Trains the tail of a cut ResNet on what its frozen prefix makes of the data.

    A trial is a pure function of its config and the device's thread count: every random
    draw comes from a generator seeded by (seed, purpose, epoch), so that the number of
    the epoch is all the random state there is.

    Args:
        config: The trial.
        device: Where to compute; by default what :func:`resolve_device` finds.
        store: Where the prefix's outputs are kept. With or without, the metrics are the same.
        micro_batches: Parts in which a batch passes the tail, one after the other, to need less
            memory. Their gradients add up to the batch's; but BatchNorm that is trained sees
            the statistics of a part.

    Raises:
        ValueError: The data or the weights cannot be had, or do not fit.
    """

    def __init__(
        self,
        config: TrialConfig,
        device: Device | None = None,
        store: ArrayStore | None = None,
        micro_batches: int = 1,
    ) -> None:
        self.config, self.micro_batches = config, micro_batches
        self.device = device or resolve_device(config.train.precision)
        self.dataset: Dataset = load_dataset(config.data)
        self.network = self._build_network()
        self.epoch = 0
        self._outputs = PrefixOutputs(self.network.prefix, self.device, store)
        self._activations = Activations(views_of(self.config, self.dataset, "train"), self._outputs)
        self._labels = self.dataset.train.labels.to(self.device.torch_device)
        self._fixed: dict[SplitName, Tensor] = {}
        self._batch_size = min(config.train.batch_size, len(self._labels))
        self._penalized = penalized_weights(self.network)
        self._optimizer = build_optimizer(config.optim, self.network)
        total_steps = config.train.epochs * (len(self._labels) // self._batch_size)
        self._schedule = Schedule(config.schedule, self._optimizer, total_steps)
        self._lowest_val_loss = math.inf
        self._epochs_without_gain = 0

    def train_epoch(self) -> dict[str, float]:
        """Train on the next view, then validate.

        Returns:
            `train_loss`, `train_acc`, `val_loss`, `val_acc` (losses in nats, accuracies 0
            to 1) and `epoch_seconds`.

        Raises:
            DivergedError: The training or validation loss is not finite.
        """
        start = time.perf_counter()
        self._activations.set_epoch(self.epoch)
        train_loss, train_acc = self._train()
        val = self.evaluate("val")
        self._check_finite(train_loss, val.loss)
        self._schedule.after_epoch(val.loss)
        self._note_val_loss(val.loss)
        self.epoch += 1
        return {
            "train_loss": train_loss,
            "train_acc": train_acc,
            "val_loss": val.loss,
            "val_acc": val.accuracy,
            "epoch_seconds": time.perf_counter() - start,
        }

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping says that it is enough."""
        patience = self.config.train.early_stopping
        stopped = patience is not None and self._epochs_without_gain >= patience
        return stopped or self.epoch >= self.config.train.epochs

    @torch.no_grad()
    def evaluate(self, split: SplitName) -> Predictions:
        """Predictions on a split, without augmentation."""
        inputs = self._fixed_inputs(split)
        self.network.tail.eval()
        logits = []
        for chunk in inputs.split(CHUNK):
            with self.device.autocast():
                logits.append(self.network.tail(as_tail_input(chunk)).float())
        return Predictions(torch.cat(logits).cpu(), self.dataset.split(split).labels)

    @torch.no_grad()
    def reestimate_statistics(self) -> None:
        """Measure what the tail's BatchNorm normalizes by anew, on the first view.

        Averaged weights make other activations than any of those that they are the average of.
        """
        norms = [m for m in self.network.tail.modules() if isinstance(m, nn.BatchNorm2d)]
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
        self._activations.set_epoch(0)
        self.network.tail.train()
        for indices in self._order(0).split(self._batch_size):
            with self.device.autocast():
                self.network.tail(self._activations.batch(indices))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def overfit_batch(self, steps: int = 200) -> list[float]:
        """Train on the first batch alone and return the loss after each step.

        A model that cannot learn one batch by heart has a bug, not a bad learning rate.
        """
        self._activations.set_epoch(0)
        indices = self._order(0)[: self._batch_size]
        for group in self._optimizer.param_groups:
            group["weight_decay"] = 0.0
        return [self._step(indices, mixer=None)[0].item() for _ in range(steps)]

    def state_dict(self) -> dict[str, Any]:
        """Tail, optimizer, schedule and epoch: all that going on from here needs."""
        return {
            "epoch": self.epoch,
            "tail": self.network.tail_state(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "lowest_val_loss": self._lowest_val_loss,
            "epochs_without_gain": self._epochs_without_gain,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken, as if nothing had come between.

        Raises:
            ValueError: The state is of another network.
        """
        self.network.load_tail_state(state["tail"])
        # The optimizer would go on to write into the caller's tensors.
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._schedule.load_state_dict(state["schedule"])
        self.epoch = state["epoch"]
        self._lowest_val_loss = state["lowest_val_loss"]
        self._epochs_without_gain = state["epochs_without_gain"]

    def classifier(self) -> Classifier:
        """The model as trained so far, ready to label image files."""
        spec = Spec(
            arch=self.config.model.arch,
            classes=self.dataset.classes,
            stored_side=self.dataset.train.images.shape[-1],
            image_size=self.config.data.image_size,
        )
        # Copies, so that the model stays as it is when the trial goes on.
        weights = {k: v.cpu().clone() for k, v in self.network.net.state_dict().items()}
        return Classifier(spec, weights)

    def _build_network(self) -> CutResNet:
        model = self.config.model
        network = build(
            model.arch,
            num_classes=len(self.dataset.classes),
            depth=model.unfreeze_depth,
            weights=resolve_weights(model.weights, model.arch),
            seed=self.config.train.seed,
        )
        for part in (network.prefix, network.tail):
            part.to(self.device.torch_device).to(memory_format=torch.channels_last)
        return network

    def _train(self) -> tuple[float, float]:
        """One pass over the current view: mean loss and accuracy of its batches."""
        mixer = Mixer(self.config.augment, len(self.dataset.classes), self._generator("mixing"))
        self.network.tail.train()
        losses, right = [], []
        order = self._order(self.epoch)
        for start in range(0, len(order) - self._batch_size + 1, self._batch_size):
            loss, correct = self._step(order[start : start + self._batch_size], mixer)
            self._schedule.after_batch()
            losses.append(loss)
            right.append(correct)
        return torch.stack(losses).mean().item(), torch.stack(right).mean().item()

    def _step(self, indices: Tensor, mixer: Mixer | None) -> tuple[Tensor, Tensor]:
        """One update. Returns the loss and the share of right answers, left on the device."""
        inputs, labels = self._activations.batch(indices), self._labels[indices]
        inputs, targets = mixer(inputs, labels) if mixer else (inputs, labels)
        loss, right = self._backward(inputs, targets)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss, right

    def _backward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Add up the gradients of a batch, in as many parts as it must be."""
        loss = right = torch.zeros((), device=inputs.device)
        parts = zip(
            inputs.chunk(self.micro_batches), targets.chunk(self.micro_batches), strict=True
        )
        for number, (part, wanted) in enumerate(parts):
            share = len(part) / len(inputs)
            with self.device.autocast():
                logits = self.network.tail(part).float()
            smoothing = self.config.optim.label_smoothing
            part_loss = share * F.cross_entropy(logits, wanted, label_smoothing=smoothing)
            (part_loss + (self._l1_penalty() if number == 0 else 0.0)).backward()
            hard = wanted if wanted.ndim == 1 else wanted.argmax(1)
            loss = loss + part_loss.detach()
            right = right + share * (logits.argmax(1) == hard).float().mean()
        return loss, right

    def _l1_penalty(self) -> Tensor | float:
        l1 = self.config.optim.l1
        return l1 * sum(weight.abs().sum() for weight in self._penalized) if l1 else 0.0

    def _fixed_inputs(self, split: SplitName) -> Tensor:
        """The prefix's output on an unaugmented split; computed once and kept."""
        if split not in self._fixed:
            self._fixed[split] = self._outputs.on(views_of(self.config, self.dataset, split), 0)
        return self._fixed[split]

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self._labels), generator=self._generator("order", epoch))

    def _generator(self, purpose: str, epoch: int | None = None) -> torch.Generator:
        """A generator for one purpose in one epoch, whatever was drawn before it."""
        key = repr((self.config.train.seed, purpose, self.epoch if epoch is None else epoch))
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])
        return torch.Generator().manual_seed(seed)

    def _check_finite(self, train_loss: float, val_loss: float) -> None:
        if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
            raise DivergedError(
                f"epoch {self.epoch + 1}: train_loss={train_loss}, val_loss={val_loss}"
            )

    def _note_val_loss(self, val_loss: float) -> None:
        improved = val_loss < self._lowest_val_loss
        self._lowest_val_loss = min(val_loss, self._lowest_val_loss)
        self._epochs_without_gain = 0 if improved else self._epochs_without_gain + 1


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
