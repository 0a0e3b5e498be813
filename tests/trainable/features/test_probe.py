"""A linear classifier on what a frozen network makes of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainable.augment.views import Views
from trainable.config import DataConfig, ModelConfig, TrialConfig
from trainable.data.datasets import load_dataset
from trainable.features import probe as module
from trainable.features.probe import probe
from trainable.features.store import ArrayStore
from trainable.finetuner import FineTuner
from trainable.runtime import Runtime

CONFIG = TrialConfig(data=DataConfig(image_size=16, limit=300))


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(threads=1, use_gpu=False, cache_root=str(tmp_path), cache_bytes=10**9)


@pytest.mark.slow
def test_it_says_how_well_the_features_tell_the_classes_apart(runtime: Runtime) -> None:
    found = probe(CONFIG, runtime)
    assert found.accuracy > 0.6
    assert found.trained + found.tested == 300
    assert found.seconds > 0
    assert probe(CONFIG, Runtime(threads=1, use_gpu=False)).accuracy == found.accuracy


def test_a_trial_of_the_head_alone_finds_its_features_in_the_store(
    runtime: Runtime, tmp_path: Path
) -> None:
    probe(CONFIG, runtime)
    before = {entry.folder for entry in ArrayStore(tmp_path).entries()}
    assert len(before) == 2
    head = CONFIG.model_copy(update={"model": ModelConfig(unfreeze_depth=0)})
    FineTuner.on(runtime, head).train_epoch()
    assert {entry.folder for entry in ArrayStore(tmp_path).entries()} == before


def test_of_many_images_some_are_looked_at_and_nothing_is_stored(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", {"train": 50, "val": 20})
    found = probe(CONFIG, runtime)
    assert (found.trained, found.tested) == (50, 20)
    assert ArrayStore(tmp_path).entries() == []
    assert probe(CONFIG, runtime).accuracy == found.accuracy


def test_of_a_fold_it_is_fitted_to_the_folds_training_images_alone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"fold": "1/3"})})
    dataset = load_dataset(config.data)
    taken = []

    def part_of(views: Views, places: NDArray[np.int64]) -> Views:
        taken.append(views.images[places])
        return replace(views, images=taken[-1])

    monkeypatch.setattr(module, "_part_of", part_of)
    found = probe(config, runtime)
    assert (found.trained, found.tested) == (len(dataset.train), len(dataset.val))
    assert torch.equal(taken[0], dataset.train.images)
    assert torch.equal(taken[1], dataset.val.images)
