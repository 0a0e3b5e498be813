"""The libraries' settings, made before any of them is imported."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from trainable.runtime import COMMAND
from tune.base.errors import ConfigError

_SETTINGS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing here phones home
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # but where something would be made twice
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would stand amid the progress
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # trials are the machine's main work
    "RAY_preload_python_modules": "trainable.preload",  # imported by workers that wait for a trial
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0 this silences Ray: this package prints the progress
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths in a config mean the same in a worker
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # only MLflow's record is written
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # this package handles signals
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails has no metric
}

LOOPBACK_ONLY: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, it makes a local Ray listen on loopback alone, on Linux too.

`ray.init(_node_ip_address="127.0.0.1")` does not: Ray replaces that by an address that other
machines can reach.
"""


_GCS_SECONDS: Final = "RAY_gcs_rpc_server_reconnect_timeout_s"
"""How long Ray waits for its control server, which runs on this machine and is not restarted."""


@contextmanager
def prepared_environment() -> Iterator[None]:
    """The same, and everything as it was at the end: of a process that is somebody else's."""
    with _guests:  # of several threads, the first sets, and the last puts back
        names = (*_SETTINGS, _GCS_SECONDS, LOOPBACK_ONLY, COMMAND)
        before = _holding[0] if _holding else {name: os.environ.get(name) for name in names}
        _holding.append(before)
        prepare_environment()
    try:
        yield
    finally:
        with _guests:
            _holding.pop()
            if not _holding:
                _put_back(before)


_guests = threading.Lock()
_holding: list[dict[str, str | None]] = []
"""What the variables were, once for each block that holds them."""


def _put_back(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


PORT: Final = 6379
"""The port at which a head of Ray's listens by default."""


def connect_to(address: str | None) -> None:
    """Have this process use the cluster at an address, as `RAY_ADDRESS` would.

    Args:
        address: `auto` for the cluster that this machine is a node of, or a head's HOST[:PORT];
            None leaves all as it is.

    Raises:
        ConfigError: It is an address of Ray's client, through which no search can run.
    """
    if address is None:
        return
    if "://" in address:
        raise ConfigError(
            f"--address {address}: a driver runs on a node of its cluster; give HOST:{PORT} there, "
            "or submit it: ray job submit -- python -m tune.search --address auto"
        )
    is_whole = address in {"auto", "local"} or ":" in address
    os.environ["RAY_ADDRESS"] = address if is_whole else f"{address}:{PORT}"
    for name, value in ((_GCS_SECONDS, "5"), (LOOPBACK_ONLY, "0")):
        if os.environ.get(name) == value:
            del os.environ[name]


def prepare_environment() -> None:
    """Set the variables that the libraries read on import, except those that the user has set."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault(COMMAND, uuid.uuid4().hex)  # which a worker has from its driver
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault(_GCS_SECONDS, "5")
        os.environ.setdefault(LOOPBACK_ONLY, "0")
