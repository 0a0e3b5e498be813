"""CUDA's Multi-Process Service, for as long as it is wanted."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_CONTROL = "nvidia-cuda-mps-control"
_SECONDS = 20


def can_start() -> bool:
    """Whether the service is installed."""
    return shutil.which(_CONTROL) is not None


@contextmanager
def mps() -> Iterator[dict[str, str]]:
    """Start the service in folders of its own, and stop it in the end.

    Kernels of processes that share a GPU run side by side then, instead of by turns. No setting
    of the GPU is changed.

    Yields:
        Environment variables of the processes that are to use it.

    Raises:
        OSError, subprocess.SubprocessError: It does not start.
    """
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        variables = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        environment = {**os.environ, **variables}
        # A daemon that kept this process's output open would keep its reader waiting.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([_CONTROL, "-d"], env=environment, check=True, timeout=_SECONDS, **quiet)
        try:
            yield variables
        finally:
            subprocess.run(
                [_CONTROL], input="quit\n", text=True, env=environment, check=False,
                timeout=_SECONDS, **quiet,
            )  # fmt: skip
