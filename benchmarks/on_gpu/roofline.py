"""How fast a training step could be: its arithmetic and its bytes, at the GPU's best of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from on_gpu.section import timed
from trainable.device import Device

_CONVOLUTION_PASSES = 3
"""Forward, and backward to its input and to its weights: each reads one map and writes or reads
another."""
_NORM_READS_AND_WRITES = 8
"""Of a map by BatchNorm with what is fused to it: forward it is read for the statistics and again
to be normalized, and written; backward both maps are read twice, and one is written."""
_OPTIMIZER_BYTES = 28
"""Of a weight in float32 by AdamW: itself, its gradient and two moments read, three written."""


@dataclass(frozen=True)
class Ceilings:
    """What the device does at most.

    Attributes:
        flops: Floating-point operations a second, in a large product of matrices.
        bytes: A second, read or written, in a large copy.
    """

    flops: float
    bytes: float


@dataclass(frozen=True)
class Work:
    """What a training step asks for.

    Attributes:
        flops: Floating-point operations, counted by PyTorch.
        bytes: Estimated: of maps, each read and written as often as it must be where nothing but
            BatchNorm's neighbours is fused with it; and of weights, by the optimizer.
    """

    flops: float
    bytes: float

    def seconds(self, ceilings: Ceilings) -> float:
        """The least it can take."""
        return max(self.flops / ceilings.flops, self.bytes / ceilings.bytes)


def ceilings(device: Device, side: int, copied: int) -> Ceilings:
    """Measure them: a product of square matrices of a side, and a copy of so many bytes."""
    one, other = (
        torch.randn(side, side, device=device.torch_device, dtype=device.dtype) for _ in range(2)
    )
    source = torch.randint(256, (copied,), device=device.torch_device, dtype=torch.uint8)
    target = torch.empty_like(source)
    product = _median(lambda: torch.mm(one, other), device)
    copy = _median(lambda: target.copy_(source), device)
    return Ceilings(2 * side**3 / product, 2 * copied / copy)


def _median(action: Callable[[], object], device: Device) -> float:
    """Median seconds of an action, the first few left out."""
    return median([timed(action, device) for _ in range(13)][3:])


def work_of(tail: nn.Module, batch: Tensor, labels: Tensor, device: Device) -> Work:
    """Count a training step of a network on a batch."""
    maps: list[float] = []
    with _counted(tail, maps), FlopCounterMode(display=False) as counter:
        with device.autocast():
            logits = tail(batch).float()
        F.cross_entropy(logits, labels).backward()
    weights = sum(p.numel() for p in tail.parameters())
    tail.zero_grad()
    width = torch.finfo(device.dtype).bits // 8
    return Work(counter.get_total_flops(), width * sum(maps) + _OPTIMIZER_BYTES * weights)


@contextmanager
def _counted(tail: nn.Module, maps: list[float]) -> Iterator[None]:
    """Note how many elements each layer reads and writes, forward and backward."""

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            maps.append(_CONVOLUTION_PASSES * (inputs[0].numel() + output.numel()))
        elif isinstance(module, nn.BatchNorm2d):
            maps.append(_NORM_READS_AND_WRITES * output.numel())

    hooks = [module.register_forward_hook(note) for module in tail.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
