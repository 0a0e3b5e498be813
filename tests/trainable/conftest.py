"""Small trials, small images, small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.models import resnet18

from trainable.config import TrialConfig
from trainable.data.datasets import load_dataset
from trainable.device import Device, resolve_device

TINY: dict[str, dict[str, Any]] = {
    "data": {"image_size": 16, "limit": 200, "split_rule": 1},  # by which figures were recorded
    "model": {"weights": "random", "unfreeze_depth": 0},
    "train": {"epochs": 3, "batch_size": 32, "precision": "fp32"},
}


@pytest.fixture(autouse=True)
def on_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the GPU from all tests but the `gpu` ones: only a CPU repeats itself bit for bit."""
    if request.node.get_closest_marker("gpu") is None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Leave the number of threads as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def device(on_cpu: None) -> Device:
    return resolve_device("fp32", 1)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., TrialConfig]:
    """A trial of seconds, with sections changed by keyword: `tiny(optim={"lr": 1})`."""

    def make(**sections: Mapping[str, Any]) -> TrialConfig:
        names = TINY.keys() | sections.keys()
        merged = {name: {**TINY.get(name, {}), **sections.get(name, {})} for name in names}
        return TrialConfig.model_validate(merged)

    return make


@pytest.fixture
def no_cached_data() -> Iterator[None]:
    """Read the data anew in this test, and in the next."""
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


def picture(label: int, number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Noise in the brightness band of `label`: no two alike, labels plain to see."""
    noise = np.random.default_rng((label, number)).integers(0, 40, (height, width, 3))
    return (80 * label + noise).astype(np.uint8)


@pytest.fixture(scope="session")
def write_classes() -> Callable[..., Path]:
    """Write a folder per class of so many images; class `n` has pixels from 80n to 80n + 39."""

    def write(
        folder: Path, counts: Mapping[str, int], size: tuple[int, int] = (12, 12), kind: str = "png"
    ) -> Path:
        for label, (name, count) in enumerate(counts.items()):
            (folder / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(picture(label, number, *size))
                image.save(folder / name / f"{number:03}.{kind}")
        return folder

    return write


@pytest.fixture(scope="session")
def pretrained() -> dict[str, Tensor]:
    """A ResNet18 of 10 classes whose BatchNorm statistics are not the ones it starts with."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        state = resnet18(num_classes=10).state_dict()
        for name, value in state.items():
            if name.endswith(("running_mean", "running_var")):
                value.uniform_(0.5, 1.5)
    return state


@pytest.fixture(scope="session")
def pretrained_file(
    pretrained: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("weights") / "pretrained.pt"
    torch.save(pretrained, path)
    return path
