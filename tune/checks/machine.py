"""Whether a search runs well on this machine: processor, memory, GPUs, disk."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Final

import psutil
import torch

from trainable.device import bf16_gain, cpu_precision
from tune.base.finding import Finding, gigabytes

TRIAL_BYTES: Final = 10**9
"""The memory that a trial takes for itself (`benchmarks/memory.py`)."""
LEAST_DISK: Final = 500 * 10**6
"""Bytes below which a search will stop: a few checkpoints of a whole ResNet18."""
GOOD_DISK: Final = 5 * 10**9
"""Bytes below which a long search may stop."""
LEAST_SHARED: Final = 2**30
"""Bytes of shared memory below which Ray may put its objects on the disk."""

_SHARED: Final = Path("/dev/shm")  # noqa: S108


def check_cpu() -> Finding:
    """The processor, and whether bfloat16 is faster on it, measured."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")
    flags = torch.cpu.get_capabilities()
    has = [name.upper() for name in names if flags.get(name)] or ["no vector instructions known"]
    ratio = bf16_gain()
    pays = f"in bf16 a convolution runs {ratio:.1f} times as fast as in fp32"
    message = f"{cpus} CPUs, {' '.join(has)}; {pays}"
    return Finding("cpu", "ok", f"{message}; auto takes {cpu_precision('auto')}")


def check_memory(trial_bytes: int = TRIAL_BYTES) -> Finding:
    """Free memory, against that of one trial on each CPU.

    Args:
        trial_bytes: The memory that a trial takes.
    """
    memory, cpus = psutil.virtual_memory(), os.cpu_count() or 1
    limit = _container_limit()
    total = memory.total if limit is None else min(limit, memory.total)
    free = min(memory.available, total)
    message = f"{gigabytes(free)} free of {gigabytes(total)}"
    fit = int(free / trial_bytes)
    if fit >= cpus:
        return Finding("memory", "ok", message)
    wanted = f"{cpus} trials at once take {gigabytes(cpus * trial_bytes)}"
    if fit == 0:
        return Finding("memory", "fail", f"{message}; one trial takes more", "make memory free")
    fix = f"make memory free, or set resources.max_concurrent={fit}"
    return Finding("memory", "warn", f"{message}; {wanted}", fix)


def _container_limit() -> int | None:
    """The memory limit of this process's control group in bytes, as containers have one."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def check_gpus() -> Finding:
    """The GPUs that PyTorch can use, and their free memory."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        return _no_gpu(caught[0].message if caught else None)
    lines, full = [], []
    for index in range(count):
        free, total = torch.cuda.mem_get_info(index)
        lines.append(
            f"{torch.cuda.get_device_name(index)}, {gigabytes(free)} free of {gigabytes(total)}"
        )
        if free < total / 2:
            full.append(str(index))
    message = "; ".join(lines)
    if full:
        fix = f"nvidia-smi shows who uses it, or CUDA_VISIBLE_DEVICES without {','.join(full)}"
        return Finding("gpu", "warn", message, fix)
    return Finding("gpu", "ok", message)


def _no_gpu(reason: Warning | str | None) -> Finding:
    if not Path("/proc/driver/nvidia/version").exists():
        return Finding("gpu", "ok", "none: trials run on the CPUs")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden in {"", "-1"}:
        message, fix = "hidden by CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES"
        return Finding("gpu", "warn", message, fix)
    why = str(reason).splitlines()[0] if reason else f"torch {torch.__version__} finds none"
    fix = f"a driver for CUDA {torch.version.cuda}: nvidia-smi shows the one there is"
    return Finding("gpu", "warn", f"there is NVIDIA's driver, but {why}", fix)


def check_disk(folder: Path) -> Finding:
    """Free space in the folder of a search, and whether it can be written."""
    free = shutil.disk_usage(folder).free
    message, enough = f"{gigabytes(free)} free in {folder.resolve()}", gigabytes(GOOD_DISK)
    if not os.access(folder, os.W_OK):
        fix = "go to another folder, or make it yours (chown, or mount it for writing)"
        return Finding("disk", "fail", f"{folder.resolve()} cannot be written", fix)
    if free < LEAST_DISK:
        return Finding(
            "disk", "fail", message, f"free {gigabytes(GOOD_DISK)}, or go to another disk"
        )
    if free < GOOD_DISK:
        fix = f"free {enough}: a search stops where there is none, and can be resumed"
        return Finding("disk", "warn", message, fix)
    return Finding("disk", "ok", message)


def check_shared_memory(folder: Path = _SHARED) -> Finding:
    """Shared memory, through which Ray's workers exchange objects."""
    if not folder.is_dir():
        return Finding("shared memory", "ok", f"there is no {folder} on this system")
    free = shutil.disk_usage(folder).free
    message = f"{gigabytes(free)} free in {folder}"
    if free >= LEAST_SHARED:
        return Finding("shared memory", "ok", message)
    fix = f"mount -o remount,size=2g {folder}; in a container: docker run --shm-size=2g"
    return Finding("shared memory", "warn", f"{message}: Ray uses the disk instead", fix)
