"""What one trial occupies of a cluster, and how many fit at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import ray
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tune.base.errors import ConfigError
from tune.config.sections import ResourcesConfig

UNMEASURED: Final = 4
"""Trials on a GPU before it is known how many its memory holds."""

_NODES_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 5.0
"""How often the nodes of a cluster are counted."""


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster has: CPUs and GPUs."""

    cpus: float
    gpus: float


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
    nodes = _nodes()
    gpu = _auto_gpu(config.cpu, nodes, per_gpu) if config.gpu == "auto" else config.gpu
    _check_that_one_fits(config.cpu, gpu, nodes)
    return TrialResources(config.cpu, gpu, _fitting(config, gpu, nodes))


def await_nodes(patience: float = _NODES_SECONDS) -> None:
    """Wait until a cluster has a node on which trials may run, or for so many seconds.

    A head without CPUs for trials is there before its workers are.
    """
    Retrying(
        retry=retry_if_result(lambda nodes: not any(node.cpus for node in nodes)),
        wait=wait_fixed(1),
        stop=stop_after_delay(patience),
        retry_error_callback=lambda _: None,
    )(_nodes)


class Capacity:
    """How many trials fit at once on a cluster, whose nodes come and go while it is used.

    Args:
        config: What is asked for.
        resources: What a trial gets.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self,
        config: ResourcesConfig,
        resources: TrialResources,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._gpu, self._clock = config, resources.gpu, clock
        self._known, self._until = resources.concurrent, clock() + _LOOK_SECONDS

    def __call__(self) -> int:
        """The number of now, looked at every few seconds."""
        if self._clock() >= self._until:
            self._known = _fitting(self._config, self._gpu, _nodes())
            self._until = self._clock() + _LOOK_SECONDS
        return self._known


def _nodes() -> list[Node]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive]


def _fitting(config: ResourcesConfig, gpu: float, nodes: Sequence[Node]) -> int:
    count = sum(_trials_on(node, config.cpu, gpu) for node in nodes)
    return count if config.max_concurrent is None else min(count, config.max_concurrent)


def _check_that_one_fits(cpu: float, gpu: float, nodes: Sequence[Node]) -> None:
    """Check that a node holds a trial: what several have together is no use to it.

    Raises:
        ConfigError: None does.
    """
    cpus, gpus = max(node.cpus for node in nodes), max(node.gpus for node in nodes)
    never = "so no trial would ever start"
    if cpu > cpus:
        raise ConfigError(
            f"resources.cpu={cpu:g}: the largest node has {cpus:g} CPUs, {never}; ask for less"
        )
    if gpu > gpus:
        raise ConfigError(
            f"resources.gpu={gpu:g}: the largest node has {gpus:g} GPUs, {never}; use "
            "resources.gpu=0 or auto"
        )
    if not any(_trials_on(node, cpu, gpu) for node in nodes):
        fed = max(node.cpus for node in nodes if node.gpus >= gpu)
        raise ConfigError(
            f"resources.cpu={cpu:g} and resources.gpu={gpu:g}: no node has both (those with so "
            f"many GPUs have {fed:g} CPUs at most), {never}; ask for fewer CPUs, or use "
            "resources.gpu=0"
        )


def _auto_gpu(cpu: float, nodes: Sequence[Node], per_gpu: int) -> float:
    """The share of a GPU; where none has enough CPUs beside it, all of one, which is refused."""
    able = [node for node in nodes if node.gpus and node.cpus >= cpu]
    if not able:
        return 1.0 if any(node.gpus for node in nodes) else 0.0
    fed_by_cpus = max(int(node.cpus / cpu / node.gpus) for node in able)
    return 1 / min(max(1, fed_by_cpus), per_gpu)


def _trials_on(node: Node, cpu: float, gpu: float) -> int:
    """How many trials a node holds at once."""
    by_cpu = int(node.cpus / cpu)
    if gpu == 0:
        return by_cpu
    # A fraction must fit into one GPU: 0.4 goes twice into each, not five times into two.
    by_gpu = int(node.gpus) * int(1 / gpu + 1e-9) if gpu <= 1 else int(node.gpus / gpu)
    return min(by_cpu, by_gpu)
