"""What one trial occupies of a cluster, and how many fit at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import ray

from tune.config.sections import ResourcesConfig
from tune.errors import ConfigError

UNMEASURED: Final = 4
"""Trials on a GPU where it is not known how many its memory holds."""


@dataclass(frozen=True)
class TrialResources:
    """What one trial occupies, `auto` resolved.

    Attributes:
        cpu: CPUs.
        gpu: GPUs, or a fraction of one.
        concurrent: Trials that fit at once.
    """

    cpu: float
    gpu: float
    concurrent: int

    @property
    def memory_fraction(self) -> float | None:
        """Share of a GPU's memory that a trial may take; None without a cap."""
        return self.gpu if 0 < self.gpu < 1 else None

    def describe(self) -> str:
        """The same in words."""
        gpu = f" and {self.gpu:g} GPU" if self.gpu else ""
        return f"{self.concurrent} at once, {self.cpu:g} CPU{gpu} each"


def fit_resources(config: ResourcesConfig, per_gpu: int = UNMEASURED) -> TrialResources:
    """What a trial gets of the running cluster.

    Args:
        config: What is asked for.
        per_gpu: With `resources.gpu=auto`, how many trials the memory of a GPU holds.

    Raises:
        ConfigError: No node could ever hold a trial.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [node.get("CPU", 0.0) for node in nodes]
    gpus = [node.get("GPU", 0.0) for node in nodes]
    auto = _auto_gpu(config.cpu, sum(cpus), sum(gpus), per_gpu)
    gpu = auto if config.gpu == "auto" else config.gpu
    if config.cpu > max(cpus):
        raise ConfigError(
            f"resources.cpu={config.cpu:g}: the largest node has {max(cpus):g} CPUs, so no trial "
            "would ever start; ask for less"
        )
    if gpu > max(gpus):
        raise ConfigError(
            f"resources.gpu={gpu:g}: the largest node has {max(gpus):g} GPUs, so no trial would "
            "ever start; use resources.gpu=0 or auto"
        )
    concurrent = sum(_trials_on(c, g, config.cpu, gpu) for c, g in zip(cpus, gpus, strict=True))
    if config.max_concurrent is not None:
        concurrent = min(concurrent, config.max_concurrent)
    return TrialResources(config.cpu, gpu, max(1, concurrent))


def _auto_gpu(cpu: float, cpus: float, gpus: float, per_gpu: int) -> float:
    if gpus == 0:
        return 0.0
    fed_by_cpus = max(1, int(cpus / cpu / gpus))
    return 1 / min(fed_by_cpus, per_gpu)


def _trials_on(cpus: float, gpus: float, cpu: float, gpu: float) -> int:
    by_cpu = int(cpus / cpu)
    if gpu == 0:
        return by_cpu
    # A fraction must fit into one GPU: 0.4 goes twice into each, not five times into two.
    by_gpu = int(gpus) * int(1 / gpu + 1e-9) if gpu <= 1 else int(gpus / gpu)
    return min(by_cpu, by_gpu)
