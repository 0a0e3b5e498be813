"""Data sources from outside the package: drawn stripes, and an album that must be downloaded."""

from __future__ import annotations

import numpy as np

from trainable.config import DataConfig
from trainable.data.parts import Parts
from trainable.data.sources import facts
from trainable.registries import SOURCES


@SOURCES.register("stripes")
def stripes(config: DataConfig) -> Parts:
    """Stripes that lie or stand, 60 of each, with labels of the smallest type."""
    noise = np.random.default_rng(0).integers(0, 60, (120, 12, 12, 3), np.uint8)
    labels = np.arange(120, dtype=np.uint8) % 2
    bright = np.zeros((12, 12, 1), np.uint8)
    bright[::2] = 190
    images = noise + np.where(labels[:, None, None, None], bright, bright.transpose(1, 0, 2))
    return Parts({"train": images}, {"train": labels}, ("stand", "lie"))


@SOURCES.register("album")
@facts(mirrors=False, needs_root=True, is_local=lambda config: config.root.is_dir())
def album(config: DataConfig) -> Parts:
    """What is never loaded here."""
    raise NotImplementedError
