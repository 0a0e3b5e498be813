"""Where a trial computes: device, precision, threads, and its share of GPU memory."""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Final, Literal

import torch
from torch.nn.functional import conv2d

Precision = Literal["auto", "fp32", "bf16"]

CONTEXT_BYTES: Final = 640 * 2**20
"""The part of a GPU's memory that a process takes for CUDA itself and its libraries' code."""

DEFAULT_THREADS: Final = torch.get_num_threads()
"""The threads of a CPU operation as PyTorch has them by itself: this module is imported before any
are set here."""

FASTER: Final = 1.2
"""The ratio from which bfloat16 counts as faster: less is a busy machine's noise."""
_TIMED: Final = 10
"""How often a convolution is timed in each type."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's allocator, as `malloc.h` has them."""


@dataclass(frozen=True)
class Device:
    """A resolved device. Build it with :func:`resolve_device`.

    Attributes:
        torch_device: The device of tensors and modules.
        dtype: What convolutions compute in and the prefix's output is stored in.
        num_threads: Threads of a CPU operation. Part of what fixes a result bit for bit.
        room: Bytes of a GPU's memory that this process may fill with tensors; None is no limit.
    """

    torch_device: torch.device
    dtype: torch.dtype
    num_threads: int
    room: int | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.torch_device.type == "cuda"

    @property
    def identity(self) -> str:
        """What else fixes a result bit for bit: processor, threads and PyTorch's version."""
        if self.is_gpu:
            processor = torch.cuda.get_device_name(self.torch_device)
        else:
            flags = torch.cpu.get_capabilities()
            processor = " ".join(f"{name}={flags[name]}" for name in sorted(flags))
        return f"{processor}, {self.num_threads} threads, torch {torch.__version__}"

    def allocate(self, shape: tuple[int, ...], /, *, dtype: torch.dtype) -> torch.Tensor:
        """Memory for a large array: the device's, or the host's where that has not enough."""
        try:
            return torch.empty(shape, dtype=dtype, device=self.torch_device)
        except torch.OutOfMemoryError:
            return torch.empty(shape, dtype=dtype)

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which operations that bear it run in `dtype`."""
        enabled = self.dtype != torch.float32
        return torch.autocast(self.torch_device.type, dtype=self.dtype, enabled=enabled)

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        """`dtype`, as configurations name it."""
        return "fp32" if self.dtype == torch.float32 else "bf16"


def resolve_device(
    precision: Precision = "auto",
    num_threads: int | None = None,
    memory_fraction: float | None = None,
    use_gpu: bool = True,
    on_cpu: str = "auto",
) -> Device:
    """Choose the GPU where there is one, and set this process up for it.

    Args:
        precision: `auto` takes bf16 on a GPU that has it, and on a CPU where it is faster.
        num_threads: Threads of a CPU operation; as PyTorch has it where None.
        memory_fraction: The share of the GPU's memory that this process may take, CUDA's own part
            (:data:`CONTEXT_BYTES`) included; None is all.
        use_gpu: Whether to take a GPU where there is one.
        on_cpu: What `auto` is on a CPU: see :func:`cpu_precision`.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    on_gpu = use_gpu and torch.cuda.is_available()
    room = None
    if on_gpu:
        room = _set_up_gpu(memory_fraction)
    else:
        _keep_freed_memory()
    use_bf16 = precision == "bf16"
    if precision == "auto":
        on_chip = partial(torch.cuda.is_bf16_supported, including_emulation=False)
        use_bf16 = on_chip() if on_gpu else cpu_precision(on_cpu) == "bf16"
    return Device(
        torch_device=torch.device("cuda" if on_gpu else "cpu"),
        dtype=torch.bfloat16 if use_bf16 else torch.float32,
        num_threads=torch.get_num_threads(),
        room=room,
    )


def _set_up_gpu(memory_fraction: float | None) -> int:
    """Set precision and cap, and say how many bytes are left for tensors."""
    # By default convolutions of float32 round their inputs to ten bits.
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    total = torch.cuda.get_device_properties(0).total_memory
    share = tensor_share(memory_fraction or 1, total)
    if memory_fraction is not None and memory_fraction < 1:
        torch.cuda.set_per_process_memory_fraction(share)
    return int(share * total)


def tensor_share(fraction: float, total: int) -> float:
    """The share of a GPU's memory that is left for tensors.

    Args:
        fraction: What a process may take, above 0.
        total: Bytes that the GPU has.
    """
    return fraction - min(CONTEXT_BYTES / total, fraction / 2)


def _keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones.

    By default it maps each large tensor anew, and the system clears its pages one by one: a
    fifth of an epoch of the whole network at 224 px. Other C libraries have no `mallopt`.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 2**28)


def release_memory() -> None:
    """Give freed memory back to the device, or to the system."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a computation failed for want of memory, on either kind of device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On a CPU, PyTorch has no class of its own for it, and oneDNN not even words. On a GPU,
    # cuBLAS and cuDNN take some memory of their own.
    signs = (
        *("can't allocate memory", "bad_alloc", "out of memory", "could not create a "),
        "_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def available_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_precision(rule: str) -> Literal["fp32", "bf16"]:
    """The precision that `auto` is on this CPU.

    Args:
        rule: `auto` takes what is measured to be faster; `flags` is the rule of searches before
            that was measured, which took bf16 where the processor has instructions for it; `fp32`
            and `bf16` were decided elsewhere.
    """
    if rule == "auto":
        return "bf16" if bf16_gain() >= FASTER else "fp32"
    if rule == "flags":
        flags = torch.cpu.get_capabilities()
        return "bf16" if flags.get("avx512_bf16") or flags.get("amx_bf16") else "fp32"
    return "bf16" if rule == "bf16" else "fp32"


@cache
def bf16_gain() -> float:
    """How many times as fast this CPU is in bfloat16, measured once in a process.

    By one of layer1's convolutions, in one thread. That a processor has instructions for it says
    little: with AMX a convolution runs three times as fast as in float32, with AVX512-BF16 alone
    twice as fast on one processor and half as fast on another.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    pairs = {dtype: _operands(dtype) for dtype in best}
    with torch.inference_mode():
        # In turn, and the best of each: whatever else runs here slows down both.
        for dtype, (images, weight) in [*pairs.items()] * _TIMED:
            start = time.perf_counter()
            conv2d(images, weight, padding=1)
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    torch.set_num_threads(threads)
    return best[torch.float32] / best[torch.bfloat16]


def _operands(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    shapes = ((1, 64, 56, 56), (64, 64, 3, 3))
    images, weight = (torch.ones(shape, dtype=dtype) for shape in shapes)
    last = torch.channels_last
    return images.contiguous(memory_format=last), weight.contiguous(memory_format=last)
