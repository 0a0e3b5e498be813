"""Trials on folds share what their images' views make: rendered, and cached, for all once."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.helpers.features import config, dataset, prefix_of
from trainable.device import Device
from trainable.features.batches import TailInputs
from trainable.features.prefix import PrefixOutputs
from trainable.store.arrays import ArrayStore, open_store


def inputs(fold: str, device: Device, store: ArrayStore | None = None) -> TailInputs:
    outputs = PrefixOutputs(prefix_of(1), device, store)
    return TailInputs(config("flip"), dataset(60).folded(fold), outputs)


def entries(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.rglob("entry.json")}


def test_folds_share_their_views(device: Device, tmp_path: Path) -> None:
    for fold in ("1/5", "2/5", "all"):
        one = inputs(fold, device, open_store(str(tmp_path), 10**9))
        one.set_epoch(0)
        one.of("val")
        assert len(entries(tmp_path)) == 2, "the images and their mirror images"


def test_a_fold_trains_and_validates_on_its_own_images(device: Device) -> None:
    fold, whole = inputs("2/5", device), inputs("all", device)
    images = dataset(60).folded("2/5")
    fold.set_epoch(0)
    whole.set_epoch(0)
    assert images.pool is not None
    batch, labels = fold.batch(torch.arange(len(images.train)))
    expected, their_labels = whole.batch(images.pool.places["train"])
    assert torch.equal(batch, expected)
    assert torch.equal(labels, their_labels)
    assert torch.equal(labels, images.train.labels)
    assert len(fold.of("val")) == len(images.val)
