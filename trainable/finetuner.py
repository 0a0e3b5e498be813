"""`FineTuner`: one trial, an epoch at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from trainable.augment.mixing import Mixer
from trainable.config import TrialConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.parts import SplitName
from trainable.data.seen import Seen
from trainable.device import Device, resolve_device
from trainable.features.batches import TailInputs
from trainable.features.prefix import CHUNK, PrefixOutputs, Recomputed, as_tail_input
from trainable.features.probe import linear_head
from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from trainable.judging.probabilities import mean_answer
from trainable.losses import image_weights, masses_of, several_masses
from trainable.network.averaging import MovingAverage
from trainable.network.cut_network import CutNetwork, build
from trainable.network.one_pixel import mend_gradients
from trainable.network.small_maps import gather_small_maps
from trainable.network.soup import StateDict
from trainable.network.weights import resolve_weights
from trainable.optim import Updater, without_regularization
from trainable.runtime import Runtime
from trainable.seeding import generator
from trainable.store.arrays import ArrayStore, open_store


class DivergedError(ArithmeticError):
    """The loss is not a finite number: the trial has no score."""


class FineTuner:
    """Trains the tail of a cut network on what its frozen prefix makes of the data.

    A trial is a pure function of its config and the device's thread count: every random
    draw comes from a generator seeded by (seed, purpose, epoch), so that the number of
    the epoch is all the random state there is.

    Args:
        config: The trial.
        device: Where to compute; by default what :func:`resolve_device` finds.
        store: Where the prefix's outputs are cached. With or without, the metrics are the same.
        micro_batches: Parts in which a batch passes the tail, one after the other, to need less
            memory. Their gradients add up to the batch's; but BatchNorm that is trained sees
            the statistics of a part. On a GPU, what is not computed with stays on the host then.
        dataset: What to train on instead of the data that the config names.

    Raises:
        ValueError: The data or the weights are not available, or do not fit.
    """

    def __init__(
        self,
        config: TrialConfig,
        device: Device | None = None,
        store: ArrayStore | None = None,
        micro_batches: int = 1,
        dataset: Dataset | None = None,
    ) -> None:
        self.config, self.micro_batches = config, micro_batches
        self.device = device or resolve_device(config.train.precision)
        self.dataset: Dataset = dataset or load_dataset(config.data)
        self.objective = Objective.of(
            config.objective, self.dataset.classes, several=self.dataset.has_several
        )
        self.network = self._build_network()
        if config.model.head == "probe":
            self.network.set_head(*linear_head(config, self.dataset, self.device, store))
        self.epoch = 0
        outputs = PrefixOutputs(
            self.network.prefix, self.device, store, resident=micro_batches == 1
        )
        self.inputs = TailInputs(config, self.dataset, outputs)
        self._weights = self._image_weights()
        total_steps = config.train.epochs * (len(self.dataset.train) // self.inputs.batch_size)
        self._updater = self._new_updater(config, total_steps)
        self.compiled = self._updater.compiled
        self._average = MovingAverage(self.network, config.optim.ema)
        self._lowest_val_loss = math.inf
        self._epochs_without_gain = 0

    @classmethod
    def on(cls, runtime: Runtime, config: TrialConfig, micro_batches: int = 1) -> FineTuner:
        """The trial as a search runs it: its device set up, its store opened."""
        device = resolve_device(
            config.train.precision,
            runtime.threads,
            runtime.memory_fraction,
            runtime.use_gpu,
            runtime.cpu_precision,
        )
        cap = runtime.gpu_cache_bytes if device.is_gpu else runtime.cache_bytes
        dataset = load_dataset(config.data, runtime.image_cache)
        return cls(config, device, open_store(runtime.cache_root, cap), micro_batches, dataset)

    def train_epoch(self) -> dict[str, float]:
        """Train on the next view, then validate.

        Returns:
            `train_loss`, `train_acc`, `val_loss`, `val_acc` (losses in nats, accuracies 0
            to 1), `epoch_seconds`, and the objective's metrics that are others.

        Raises:
            DivergedError: The training or validation loss is not finite.
        """
        start = time.perf_counter()
        self.inputs.set_epoch(self.epoch)
        train_loss, train_acc = self._train()
        val = self.evaluate("val")
        chosen = self.objective.measured(val)
        self._check_finite({"train_loss": train_loss, "val_loss": val.loss} | chosen)
        self._updater.schedule.after_epoch(val.loss)
        self._note_val_loss(val.loss)
        self.epoch += 1
        return {
            "train_loss": train_loss,
            "train_acc": train_acc,
            "val_loss": val.loss,
            "val_acc": val.accuracy,
            **chosen,
            "epoch_seconds": time.perf_counter() - start,
        }

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping says that it is enough.

        Without validation images nothing tells it: the loss on images trained on keeps falling.
        """
        train, judged = self.config.train, not self.config.data.keeps_no_validation
        patience = train.early_stopping if judged else None
        stopped = patience is not None and self._epochs_without_gain >= patience
        return stopped or self.epoch >= train.last_epoch

    @torch.no_grad()
    def evaluate(self, split: SplitName) -> Predictions:
        """Predictions on a split, as the model would answer when it is served."""
        with self._average.in_place():
            logits = self._logits(self.inputs.of(split))
            if self.config.predict.flips:
                mirrored = self._logits(self.inputs.of(split, mirrored=True))
                logits = mean_answer(logits, mirrored, several=self.dataset.has_several)
        found = self.dataset.split(split)
        return Predictions(logits.cpu(), found.labels, found.truth)

    @torch.no_grad()
    def reestimate_statistics(self) -> None:
        """Re-estimate the statistics that the tail normalizes by, on the first view of full size.

        Averaged weights make other activations than any of those that they are the average of.
        """
        with self.device.autocast():
            self.network.reestimate(self.inputs.of_view(self.config.full_size_epoch))

    def rehearse(self, steps: int) -> None:
        """Train on some batches of the first view, over and over: for what it costs."""
        self.inputs.set_epoch(0)
        mixer = self._mixer()
        self.network.tail.train()
        batches = self.inputs.whole_batches(0)
        for step in range(steps):
            self._step(batches[step % len(batches)], mixer)

    def overfit_batch(self) -> Iterator[float]:
        """Train on the first batch alone, and yield the loss after each step, without an end.

        A model that cannot overfit one batch has a bug, not a bad learning rate: so it learns at
        its peak rate, and nothing holds it back that is there to keep it from overfitting.
        """
        self.inputs.set_epoch(self.config.full_size_epoch)
        indices = self.inputs.batches(0)[0]
        config = without_regularization(self.config)
        self._updater = self._new_updater(config, 0)
        self.network.tail.train()
        while True:
            yield self._step(indices, mixer=None)[0].item()

    def state_dict(self) -> dict[str, Any]:
        """Tail, optimizer, schedule and epoch: all that going on from here needs."""
        return {
            "epoch": self.epoch,
            "tail": self.network.tail_state(),
            **self._updater.state_dict(),
            **({"average": self._average.state_dict()} if self.config.optim.ema else {}),
            "lowest_val_loss": self._lowest_val_loss,
            "epochs_without_gain": self._epochs_without_gain,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken, as if nothing had come between.

        Raises:
            ValueError: The state is of another network.
        """
        self.network.load_tail_state(state["tail"])
        self._updater.load_state_dict(state)
        if self.config.optim.ema:
            self._average.load_state_dict(state["average"])
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
            flips=self.config.predict.flips,
            several=self.dataset.has_several,
        )
        return Classifier(spec, self.weights(), Seen.of(self.dataset))

    def weights(self) -> StateDict:
        """A copy of the whole network's weights, on the CPU: the moving average if there is one."""
        with self._average.in_place():
            return {k: v.cpu().clone() for k, v in self.network.net.state_dict().items()}

    def _logits(self, inputs: Tensor | Recomputed) -> Tensor:
        """What the tail makes of its stored inputs."""
        self.network.tail.eval()
        logits = []
        for chunk in inputs.split(CHUNK):
            with self.device.autocast():
                rows = chunk.to(self.device.torch_device)
                logits.append(self.network.tail(as_tail_input(rows)).float())
        return torch.cat(logits)

    def _build_network(self) -> CutNetwork:
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
        if self.device.precision == "bf16" and not self.device.is_gpu:
            gather_small_maps(network.tail)
            mend_gradients(network, self.config.data.image_size)
        return network

    def _train(self) -> tuple[float, float]:
        """One pass over the current view: mean loss and accuracy of its batches."""
        mixer = self._mixer()
        self.network.tail.train()
        losses, right = [], []
        for indices in self.inputs.whole_batches(self.epoch):
            loss, correct = self._step(indices, mixer)
            self._updater.schedule.after_batch()
            losses.append(loss)
            right.append(correct)
        return torch.stack(losses).mean().item(), torch.stack(right).mean().item()

    def _new_updater(self, config: TrialConfig, steps: int) -> Updater:
        several, parts = self.dataset.has_several, self.micro_batches
        return Updater(config, self.network, self.device, parts, steps, several=several)

    def _image_weights(self) -> Tensor | None:
        """What each training image counts, on the device; of several labels for each of them."""
        train, kind = self.dataset.train, self.config.train.class_weights
        if self.dataset.has_several:
            found: Tensor | None = several_masses(train.targets, kind, train.weights)
        else:
            found = image_weights(train.labels, kind, train.weights)
        return None if found is None else found.to(self.device.torch_device)

    def _masses(self, indices: Tensor, labels: Tensor) -> Tensor | None:
        """The targets of some images by what these count; None where all count alike."""
        if self._weights is None or self.dataset.has_several:
            return None if self._weights is None else self._weights[indices]
        return masses_of(labels, len(self.dataset.classes), self._weights[indices])

    def _mixer(self) -> Mixer:
        draws = generator(self.config.train.seed, "mixing", self.epoch)
        return Mixer(self.config.augment, len(self.dataset.classes), draws)

    def _step(self, indices: Tensor, mixer: Mixer | None) -> tuple[Tensor, Tensor]:
        """One update. Returns the loss and the share of right answers, left on the device."""
        inputs, labels = self.inputs.batch(indices)
        # Of one label an image, nothing weighs a single batch that is to be overfitted.
        plain = mixer is None and not self.dataset.has_several
        masses = None if plain else self._masses(indices, labels)
        batch = (inputs, labels, masses)
        found = self._updater.step(*(batch if mixer is None else mixer(*batch)))
        self._average.update()
        return found

    def _check_finite(self, found: dict[str, float]) -> None:
        if not all(map(math.isfinite, found.values())):
            told = ", ".join(f"{name}={value}" for name, value in found.items())
            raise DivergedError(f"epoch {self.epoch + 1}: {told}")

    def _note_val_loss(self, val_loss: float) -> None:
        improved = val_loss < self._lowest_val_loss
        self._lowest_val_loss = min(val_loss, self._lowest_val_loss)
        self._epochs_without_gain = 0 if improved else self._epochs_without_gain + 1
