"""Ray: starting it, and what it can hold."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

import psutil
import ray
from ray.tune.execution import class_cache, tune_controller

from tune.config.schema import ResourcesConfig
from tune.engine.signals import interrupt
from tune.errors import ConfigError

UNMEASURED: Final = 4
"""Trials on a GPU where it is not known how many its memory holds."""
_NEEDED: Final = {"raylet", "gcs_server"}
"""Processes without which a local Ray does nothing."""
_WATCH_SECONDS: Final = 0.5


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


class DriverOnly:
    """Something of the driver's that Ray need not pickle.

    Ray pickles a tuner with all its parts, for a restore of its own. That snapshot is not
    used here, since the study's storage is the truth: in it stands an empty object.
    """

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


def start_ray() -> None:
    """Connect to the cluster that `RAY_ADDRESS` names, or start a local one.

    A local one prints nothing, and listens on loopback only: :mod:`tune.environment` sees
    to that, before Ray is imported.
    """
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    local: dict[str, Any] = {"include_dashboard": False}
    ray.init(
        address=address,
        log_to_driver=False,
        logging_level=logging.ERROR,
        **({} if address else local),
    )
    if not address:
        tune_controller._ActorClassCache = _WaitingWorkers
        processes = [p for p in psutil.Process().children() if p.name() in _NEEDED]
        Thread(target=_watch, args=(processes,), name="watch", daemon=True).start()


def _watch(processes: Sequence[psutil.Process]) -> None:
    """Stop the search when one of Ray's own processes has died: Ray would wait for it for ever."""
    while ray.is_initialized():
        for process in processes:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                interrupt(f"the death of Ray's {process.name()}")
                return
        time.sleep(_WATCH_SECONDS)


class _WaitingWorkers(class_cache._ActorClassCache):
    """Lets trials start in the workers that a local Ray keeps waiting, with PyTorch loaded.

    Ray takes those only for actors with no environment variables of their own. Ray Tune gives
    a trial some: one for PyTorch Lightning, and a few that it copies from the driver, whose
    environment a local Ray's workers have inherited anyway.
    """

    def get(self, trainable_cls: type) -> Any:
        """The class as a Ray actor."""
        if trainable_cls not in self._cache:
            self._cache[trainable_cls] = ray.remote(trainable_cls)
        return self._cache[trainable_cls]


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
