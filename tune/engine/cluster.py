"""Ray: starting it, and noticing its death."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import psutil
import ray

from trainable.registries import PLUGINS
from trainable.runtime import COMMAND
from tune.base.errors import ConfigError, first_line
from tune.config.sections import ResourcesConfig
from tune.engine.ray_compat import (
    cpus_of_machine,
    keep_to_loopback,
    ray_as_it_was,
    without_pages,
)
from tune.engine.signals import interrupt

_NEEDED: Final = {"raylet", "gcs_server"}
"""Processes without which a local Ray does nothing."""
_WATCH_SECONDS: Final = 0.5
_FOR_NODES: Final = (
    "RAY_CHDIR_TO_TRIAL_DIR",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
    PLUGINS,
    COMMAND,
)
"""The variables that a trial's process has as the driver has them."""
_SUBMITTED: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Where Ray tells the command of a submitted job what the job was submitted with."""


_stopping = Event()
"""Set while the local Ray is stopped, whose processes may end then."""
_own = [False]
"""Whether this package has started the Ray there is."""


def is_own() -> bool:
    """Whether the Ray that is connected to was started here, as this package needs it."""
    return _own[0] and ray.is_initialized()


def start_ray(
    wanted: ResourcesConfig | None = None, on_death: Callable[[str], None] = interrupt
) -> None:
    """Connect to the cluster that `RAY_ADDRESS` names, or start a local one.

    A local one prints nothing, and listens on loopback only: :mod:`tune.base.environment` sees
    to that, before Ray is imported.

    Args:
        wanted: What the trials ask for. A local one has no more CPUs than they use at once: for
            each it keeps a worker waiting, with PyTorch loaded.
        on_death: Called, in a thread, with the reason when a local one dies.
    """
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    settings: dict[str, Any] = {"include_dashboard": False, "num_cpus": _enough_cpus(wanted)}
    if address:
        settings = {"runtime_env": code_for_nodes()}
    else:
        keep_to_loopback()
    try:
        with nullcontext() if address else without_pages():
            # Without an address, Ray would join what `ray start` has started here for others.
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **settings,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        if not address:
            raise
        raise ConfigError(
            f"RAY_ADDRESS={address}: no cluster answers there ({first_line(error)}); start this "
            "command on a node of it, with its token (RAY_AUTH_TOKEN or ~/.ray/auth_token)"
        ) from error
    if not address:
        processes = [p for p in psutil.Process().children() if p.name() in _NEEDED]
        _stopping.clear()
        _own[0] = True
        watch = Thread(target=_watch, args=(processes, on_death), name="watch", daemon=True)
        watch.start()


def _enough_cpus(wanted: ResourcesConfig | None) -> int | None:
    """The CPUs that trials use at once, where these are fewer than the machine has; else None."""
    if wanted is None or wanted.max_concurrent is None:
        return None
    used, there = math.ceil(wanted.max_concurrent * wanted.cpu), cpus_of_machine()
    return used if there is not None and used < there else None


def code_for_nodes() -> dict[str, Any]:
    """What Ray ships to the nodes of a cluster: this very code, and never the data beside it.

    The packages that it needs are the nodes' own, and plugins too. What was submitted with a
    working directory has its code on all nodes already.
    """
    variables = {name: os.environ[name] for name in _FOR_NODES if name in os.environ}
    if "working_dir" in os.environ.get(_SUBMITTED, ""):
        return {"env_vars": variables}
    own = Path(__file__).parents[1]
    return {"env_vars": variables, "py_modules": [str(own), str(own.with_name("trainable"))]}


@contextmanager
def borrowed_ray(wanted: ResourcesConfig, on_death: Callable[[str], None]) -> Iterator[None]:
    """The Ray that the caller has started; else one that ends with the block.

    Args:
        wanted: What the trials ask for.
        on_death: As :func:`start_ray` has it: stops the block, which would wait for ever.
    """
    if ray.is_initialized():
        yield
        return
    with ray_as_it_was():
        start_ray(wanted, on_death)
        try:
            yield
        finally:
            _stopping.set()
            _own[0] = False
            ray.shutdown()


def _watch(processes: Sequence[psutil.Process], on_death: Callable[[str], None]) -> None:
    """Stop the search when one of Ray's own processes has died: Ray would wait for it for ever."""
    while ray.is_initialized() and not _stopping.is_set():
        for process in processes:
            dead = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
            if dead and not _stopping.is_set():
                on_death(f"the death of Ray's {process.name()}")
                return
        _stopping.wait(_WATCH_SECONDS)
