"""How well a linear classifier does on a frozen network's features: what the images are like."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.augment.views import Views
from trainable.config import TrialConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.parts import SplitName
from trainable.data.stored import some_of
from trainable.device import Device, resolve_device
from trainable.features.batches import views_of
from trainable.features.linear import fitted, head_of_one, head_of_several
from trainable.features.prefix import PrefixOutputs
from trainable.losses import image_weights, several_masses
from trainable.network.cut_network import CutNetwork, build
from trainable.network.weights import resolve_weights
from trainable.runtime import Runtime
from trainable.seeding import seed_of
from trainable.store.arrays import ArrayStore, open_store

MOST: Final[dict[SplitName, int]] = {"train": 2000, "val": 1000}
"""The images of a split that are looked at: of more, so many by chance."""


@dataclass(frozen=True)
class Probe:
    """What a linear classifier came to.

    Attributes:
        accuracy: Of its answers on validation images, 0 to 1.
        trained: The number of training images that it saw.
        tested: The number of validation images.
        seconds: How long it took, with the features.
    """

    accuracy: float
    trained: int
    tested: int
    seconds: float


def probe(config: TrialConfig, runtime: Runtime) -> Probe:
    """Fit a linear classifier to what a network makes of images that trains its head alone.

    On the CPU. Of a split that is taken whole, the features go through the store, where trials of
    the head alone find them; what is taken of a larger one does not.

    Args:
        config: The data, the network and its weights.
        runtime: Threads and store.
    """
    start = time.perf_counter()
    device = resolve_device(
        config.train.precision,
        runtime.threads,
        use_gpu=False,
        on_cpu=runtime.cpu_precision,
    )
    store = open_store(runtime.cache_root, runtime.cache_bytes)
    features = _Features(config, load_dataset(config.data, runtime.image_cache), device, store)
    (inputs, labels), (tested, truth) = features.of("train"), features.of("val")
    accuracy = float((fitted(inputs, labels).predict(tested) == truth).mean())
    return Probe(accuracy, len(labels), len(truth), time.perf_counter() - start)


def linear_head(
    config: TrialConfig, dataset: Dataset, device: Device, store: ArrayStore | None
) -> tuple[Tensor, Tensor]:
    """The same classifier as the weights of a head: what LP-FT starts from.

    Of any number of labels an image, it is a classifier a label, one against the rest. Images count
    as they do in training.

    Training the head alone first spares the pretrained layers the large gradients of a random one
    (Kumar et al. 2022, arXiv 2202.10054).

    Args:
        config: The trial.
        dataset: Its images.
        device: Where the network computes; the classifier is fitted on the CPU.
        store: Where the features are, or are put; None computes them.

    Returns:
        Weight (classes, features) and bias (classes,), float32.

    Raises:
        ValueError: :func:`check_features` says why there are no features.
    """
    inputs, labels = _Features(config, dataset, device, store).of("train")
    every, kind = dataset.train, config.train.class_weights
    taken = _taken(dataset.fingerprint, "train", len(every))
    if dataset.has_several:
        having, lacking = several_masses(every.targets, kind, every.weights)[taken].chunk(2, 1)
        found = head_of_several(inputs, every.targets[taken], (having + lacking).numpy())
    else:
        counted = image_weights(every.labels, kind, every.weights)
        weights = None if counted is None else counted[taken].numpy()
        found = head_of_one(inputs, labels, len(dataset.classes), weights)
    weight, bias = map(torch.from_numpy, found)
    return weight.float(), bias.float()


def check_features(arch: str, classes: int, weights: str, seed: int = 0) -> CutNetwork:
    """A network whose features are those of a head.

    Raises:
        ValueError: Its weights lack a layer below the head.
    """
    try:
        return build(arch, classes, 0, weights, seed)
    except ValueError as error:
        raise ValueError(f"model.head=probe takes the whole network's features: {error}") from error


class _Features:
    """What a network makes of images, at its head; of a large split, of some of them."""

    def __init__(
        self, config: TrialConfig, dataset: Dataset, device: Device, store: ArrayStore | None
    ) -> None:
        augment = config.augment.model_copy(update={"policy": "none"})
        self._trial = config.model_copy(update={"augment": augment})
        self._dataset, self._device, self._store = dataset, device, store
        weights = resolve_weights(config.model.weights, config.model.arch)
        network = check_features(
            config.model.arch, len(dataset.classes), weights, config.train.seed
        )
        self._prefix = network.prefix.to(device.torch_device)

    def of(self, split: SplitName) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Features (n, C) of the images that are looked at, and their labels."""
        labels = self._dataset.split(split).labels.numpy()
        views = views_of(self._trial, self._dataset, split)
        taken = _taken(self._dataset.fingerprint, split, len(labels))
        whole = len(taken) == len(views)
        part = views if whole else _part_of(views, _places(self._dataset, split, taken))
        outputs = PrefixOutputs(self._prefix, self._device, self._store if whole else None)
        return outputs.on(part, 0).float().cpu().numpy(), labels[taken]


def _taken(fingerprint: str, split: SplitName, count: int) -> NDArray[np.int64]:
    """The images of a split that are looked at, in order."""
    seed = seed_of(f"probe {fingerprint} {split}", num_bytes=4)
    return np.sort(np.random.default_rng(seed).permutation(count)[: MOST[split]])


def _places(dataset: Dataset, split: SplitName, taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where images of a split lie among its views, which for a fold are those of its pool."""
    pool = dataset.pool
    return taken if pool is None or split not in pool.places else pool.places[split].numpy()[taken]


def _part_of(views: Views, taken: NDArray[np.int64]) -> Views:
    return replace(views, images=some_of(views.images, taken))
