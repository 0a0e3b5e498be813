"""Ray: starting it, and noticing its death."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from threading import Thread
from typing import Any, Final

import psutil
import ray

from tune.engine.signals import interrupt

_NEEDED: Final = {"raylet", "gcs_server"}
"""Processes without which a local Ray does nothing."""
_WATCH_SECONDS: Final = 0.5


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
