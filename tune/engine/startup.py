"""Starting quickly, and leaving quickly: the heavy imports beside Ray's own start."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Final, NoReturn

import psutil

from tune.config.sections import ResourcesConfig
from tune.engine.signals import kill_children

_LEAVE_SECONDS: Final = 5.0
_DEATH_SECONDS: Final = 1.0


def import_beside_ray(name: str, wanted: ResourcesConfig | None = None) -> ModuleType:
    """Import a module while a local Ray starts, which is mostly waiting for processes.

    Args:
        name: The module's full name.
        wanted: What the trials ask for.
    """
    # What one thread does to the filters of warnings undoes what another does: none, for now.
    with warnings.catch_warnings(action="ignore"), _without_garbage_collection():
        # Not in two threads: each would find modules that the other has half imported. What
        # Ray's start imports besides has nothing to do with PyTorch's and Optuna's modules.
        from tune.engine.cluster import start_ray

        with ThreadPoolExecutor(1) as thread:
            importing = thread.submit(importlib.import_module, name)
            # In the main thread, where alone it can set handlers of signals.
            start_ray(wanted)
            return importing.result()


def leave(code: int, clean: Callable[[], object]) -> NoReturn:
    """Stop Ray and end the process, without taking PyTorch and the rest apart first.

    Taking them apart costs two seconds and nobody needs it: the system takes back all there is.

    Args:
        code: The process's exit code.
        clean: What is left to do once nothing of Ray's runs any more.
    """
    late = threading.Timer(_LEAVE_SECONDS, os._exit, [code])  # Ray may wait for what is dead
    late.daemon = True
    late.start()
    ray = sys.modules.get("ray")
    if ray is not None:
        ray.shutdown()
    killed = kill_children()  # what Ray leaves to end by itself
    psutil.wait_procs(killed, timeout=_DEATH_SECONDS)
    clean()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Imports make no garbage, but the collector looks through them again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
