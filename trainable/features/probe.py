"""How well a linear classifier does on a frozen network's features: what the images are like."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainable.augment.views import Views
from trainable.config import TrialConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.parts import SplitName
from trainable.device import resolve_device
from trainable.features.batches import views_of
from trainable.features.prefix import PrefixOutputs
from trainable.features.store import open_store
from trainable.network.cut_network import build
from trainable.network.weights import resolve_weights
from trainable.runtime import Runtime
from trainable.seeding import seed_of

MOST: Final[dict[SplitName, int]] = {"train": 2000, "val": 1000}
"""The images of a split that are looked at: of more, so many by chance."""
_STEPS: Final = 200
"""The steps of the classifier's optimizer, after which it is good enough to compare by."""


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
    trial = config.model_copy(
        update={"augment": config.augment.model_copy(update={"policy": "none"})}
    )
    dataset, device = (
        load_dataset(config.data),
        resolve_device(
            config.train.precision,
            runtime.threads,
            use_gpu=False,
            on_cpu=runtime.cpu_precision,
        ),
    )
    weights = resolve_weights(config.model.weights, config.model.arch)
    prefix = build(config.model.arch, len(dataset.classes), 0, weights).prefix
    store = open_store(runtime.cache_root, runtime.cache_bytes)

    def features(split: SplitName) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        views, labels = views_of(trial, dataset, split), dataset.split(split).labels.numpy()
        taken = _taken(dataset.fingerprint, split, len(labels))
        whole = len(taken) == len(views)
        part = views if whole else _part_of(views, _places(dataset, split, taken))
        outputs = PrefixOutputs(prefix, device, store if whole else None).on(part, 0)
        return outputs.float().numpy(), labels[taken]

    (inputs, labels), (tested, truth) = features("train"), features("val")
    accuracy = float((_classify(inputs, labels, tested) == truth).mean())
    return Probe(accuracy, len(labels), len(truth), time.perf_counter() - start)


def _taken(fingerprint: str, split: SplitName, count: int) -> NDArray[np.int64]:
    """The images of a split that are looked at, in order."""
    seed = seed_of(f"probe {fingerprint} {split}", num_bytes=4)
    return np.sort(np.random.default_rng(seed).permutation(count)[: MOST[split]])


def _places(dataset: Dataset, split: SplitName, taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where images of a split lie among its views, which for a fold are those of its pool."""
    pool = dataset.pool
    return taken if pool is None or split not in pool.places else pool.places[split].numpy()[taken]


def _part_of(views: Views, taken: NDArray[np.int64]) -> Views:
    return replace(views, images=views.images[taken])


def _classify(
    inputs: NDArray[np.float32], labels: NDArray[np.int64], asked: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The answers of a classifier that was fitted to some features, on others."""
    # Slow to import, and for a portfolio that asks for it alone.
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=_STEPS))
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        answers: NDArray[np.int64] = classifier.fit(inputs, labels).predict(asked)
    return answers
