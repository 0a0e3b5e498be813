"""What will take much room is told before the first trial."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.helpers.commands import DIGITS
from trainable.data.datasets import Dataset
from trainable.data.split import Split
from trainable.data.stored import Indices, Rows
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.engine.estimates import estimates, outputs_too_large

FP32 = "resources.cpu_precision=fp32"


def config(*words: str) -> SearchConfig:
    return load_config(DIGITS, ["data.image_size=224", "model.weights=random", FP32, *words])


def told(images: int, *words: str) -> str:
    return " ".join(outputs_too_large(config(*words), images, 10))


class Unread:
    """Photographs that are nowhere."""

    shape = (10**6, 256, 256, 3)

    def take(self, rows: Indices) -> torch.Tensor:
        raise AssertionError("an image is read")


def test_a_view_that_the_cache_has_no_room_for_is_told_with_the_key_that_helps() -> None:
    words = ("space.model.unfreeze_depth=[0,1,3]", "cache.max_gb=20")

    line = told(100_000, *words)

    # 64 channels of 56 x 56 in 4 bytes, of 100,000 images
    assert (
        "model.unfreeze_depth=3: a view takes 80.3 GB, more than the cache may hold (20.0" in line
    )
    assert "raise cache.max_gb to 161, or lower data.limit or data.image_size" in line
    assert told(100_000, words[0], "cache.max_gb=161") == ""
    assert told(20_000, *words) == ""
    assert "raise" not in told(100_000, words[0], "cache.enabled=false")


def test_pixels_are_kept_only_of_policies_that_render_many_images_at_once() -> None:
    words = ("space.model.unfreeze_depth=[0,5]", "cache.max_gb=10")

    assert told(100_000, *words, "space.augment.policy=[none,flip_crop]") == ""
    assert "unfreeze_depth=5: a view takes 15.1 GB" in told(
        100_000, *words, "space.augment.policy=[flip_crop,trivial]"
    )


def test_a_gpu_stores_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    assert told(10**6) == ""


@pytest.mark.parametrize(("free", "helps"), [(10**12, False), (8 * 10**9, True)])
def test_the_size_of_many_decoded_images_is_told_and_none_is_read(
    free: int, helps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=free))
    monkeypatch.setattr("tune.engine.estimates.psutil", memory)

    def split(count: int) -> Split:
        return Split(Rows((Unread(),), np.arange(count)), torch.zeros(count))

    dataset = Dataset(split(80_000), split(10_000), split(10_000), ("a", "b"), "f")

    words = ("space.model.unfreeze_depth=[0,1]", "cache.images_gb=50")

    first, *_ = estimates(config(*words), dataset)

    assert first == "19.7 GB of decoded images (cache.images_gb=50)" + (
        ", more than memory has free (8.0 GB), so that an epoch that reads all of them waits for "
        "the disk; lower data.limit or data.image_size"
        if helps
        else ""
    )
