"""Samplers and schedulers by the names that a config has for them; see `trainable.registries`."""

from __future__ import annotations

from typing import Any

from trainable.registries import Registry

SAMPLERS: Registry[Any] = Registry(
    "sampler.name", "tune.strategy.samplers", ("tpe", "random", "joint_tpe", "gp")
)
SCHEDULERS: Registry[Any] = Registry(
    "scheduler.name", "tune.strategy.schedulers", ("asha", "fifo", "halving", "median")
)
