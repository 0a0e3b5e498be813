"""Whether compiling the trained layers pays."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Final, Literal

import torch
from torch import Tensor, nn

from trainable.device import Device

PAYS_AFTER: Final = 10_000
"""Steps on a GPU that gain about what compiling costs, some half a minute."""


def compiles(setting: bool | Literal["auto"], device: Device, steps: int) -> bool:
    """Whether a trial compiles its tail.

    Compiled, operations are fused and round fewer times, so that metrics differ in their last
    digits: it is recorded beside a trial's precision. On a CPU it does not pay.

    Args:
        setting: `train.compile`.
        device: Where the trial computes.
        steps: How many it is to take.
    """
    if setting != "auto":
        return setting
    return device.is_gpu and steps >= PAYS_AFTER and can_compile()


def compiled(tail: nn.Module) -> Callable[[Tensor], Tensor]:
    """A network compiled for batches of training, all of one shape.

    Predictions go past it: they come in other shapes, and are the same compiled or not.
    """
    # PyTorch compiles a piece of code for so many networks, and then gives up; and shapes that
    # differ from those of the one before it makes variable, which is slower.
    torch.compiler.reset()
    return torch.compile(tail, dynamic=False)


def can_compile() -> bool:
    """Whether what PyTorch compiles with for a GPU is here: Triton and a C compiler."""
    compilers = (os.environ.get("CC"), "cc", "gcc", "clang")
    return importlib.util.find_spec("triton") is not None and any(
        shutil.which(name) for name in compilers if name
    )
