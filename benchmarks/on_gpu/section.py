"""What every section is given, and how it tells its figures."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainable.config import TrialConfig
from trainable.data.datasets import Dataset, Split
from trainable.device import Device, Precision, resolve_device

CLASSES = 10


@dataclass(frozen=True)
class Options:
    """How a section is run.

    Attributes:
        deadline: When it is ended, by this machine's monotonic clock.
        out: Folder for files, such as profiles.
        quick: Whether to take the smallest sizes, to see that it works at all.
        cpu: Whether to leave the GPU alone.
        real: Folder of real images and weights, if any.
    """

    deadline: float
    out: str
    quick: bool = False
    cpu: bool = False
    real: str | None = None

    @property
    def left(self) -> float:
        """Seconds until then."""
        return self.deadline - time.monotonic()

    def device(self, precision: Precision = "bf16", fraction: float | None = None) -> Device:
        """Where to compute, with a thread for the CPU's part."""
        return resolve_device(precision, 1, fraction, use_gpu=not self.cpu)

    def pick(self, full: Any, quick: Any) -> Any:
        """One of two sizes."""
        return quick if self.quick else full

    def file(self, name: str) -> Path:
        """A file in the folder for files."""
        Path(self.out).mkdir(parents=True, exist_ok=True)
        return Path(self.out) / name


@dataclass(frozen=True)
class Part:
    """One figure, or a few that come together.

    Attributes:
        name: Of what it tells.
        seconds: Without so many left, it is not begun.
        measure: Gives the figures.
    """

    name: str
    seconds: float
    measure: Callable[[], dict[str, Any]]


def run(options: Options, parts: Sequence[Part]) -> None:
    """Measure one part after the other, the most wanted first, as long as there is time.

    Ends with exit code 1 if one of them broke.
    """
    broken = False
    for part in parts:
        if options.left < options.pick(part.seconds, 0):
            tell(
                **{part.name: {"skipped": f"{options.left:.0f} s left, {part.seconds:.0f} needed"}}
            )
            continue
        try:
            tell(**{part.name: part.measure()})
        except Exception as error:  # noqa: BLE001  # whatever broke it, the others are wanted
            traceback.print_exc()
            tell(**{part.name: {"error": f"{type(error).__name__}: {str(error)[:300]}"}})
            broken = True
    if broken:
        sys.exit(1)


def start() -> Options:
    """The options of this section, from its command line."""
    return Options(**json.loads(sys.argv[1]))


def tell(**figures: Any) -> None:
    """Tell figures at once, so that they are not lost with what comes after."""
    print(json.dumps(figures), flush=True)


def noise(count: int, side: int) -> Dataset:
    """Random images: what they show does not change how fast they are trained on."""
    generator = torch.Generator().manual_seed(0)

    def split(images: int) -> Split:
        pixels = torch.randint(256, (images, 3, side, side), generator=generator, dtype=torch.uint8)
        return Split(pixels, torch.arange(images) % CLASSES)

    few = split(max(count // 10, 2))
    return Dataset(split(count), few, few, tuple(map(str, range(CLASSES))), f"noise {count} {side}")


def trial(**sections: dict[str, Any]) -> TrialConfig:
    """Full fine-tuning of a ResNet18 from random weights, with some keys set."""
    base: dict[str, dict[str, Any]] = {
        "data": {"mirror": True},
        "model": {"weights": "random", "unfreeze_depth": 5},
        "augment": {"policy": "flip"},
        "optim": {"name": "adamw", "lr": 1e-3},
        "train": {"epochs": 100, "compile": False},
    }
    names = base.keys() | sections.keys()
    return TrialConfig.model_validate(
        {name: {**base.get(name, {}), **sections.get(name, {})} for name in names}
    )


def wait(device: Device) -> None:
    """Until the device has done all it was asked to."""
    if device.is_gpu:
        torch.cuda.synchronize()


def timed(action: Callable[[], object], device: Device) -> float:
    """Seconds of an action, all that it asks of the device included."""
    wait(device)
    begin = time.perf_counter()
    action()
    wait(device)
    return time.perf_counter() - begin


def levels_apart(first: Tensor, second: Tensor) -> Tensor:
    """By how many of 255 levels pixels differ."""
    return (first.cpu().int() - second.cpu().int()).abs()


def rounded(value: float, digits: int = 4) -> float:
    """To so many digits that count."""
    return float(f"{value:.{digits}g}")
