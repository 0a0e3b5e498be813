"""The commands, run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DIGITS = REPOSITORY / "configs" / "digits.yaml"
SMALL = (
    "data.image_size=16",
    "data.limit=300",
    "model.weights=random",
    "train.epochs=3",
    "train.batch_size=64",
    "confirm.top_k=0",
)
"""Overrides that make a digits trial take about a second."""


def user_environment() -> dict[str, str]:
    """A user's, without what MLflow has set in this process for itself."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        environment.pop(name, None)
    return environment


def start_module(module: str, *words: str, cwd: Path) -> subprocess.Popen[str]:
    """Start one of the commands in `cwd`, as a user would."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env=user_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_module(module: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the commands in `cwd` to its end."""
    with start_module(module, *words, cwd=cwd) as process:
        try:
            output, errors = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def wait_until(
    condition: Callable[[], bool], seconds: float = 120, by: subprocess.Popen[str] | None = None
) -> None:
    """Wait for what a process is to bring about; fail, with its last words, if it ended first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if by is not None and by.poll() is not None:
            pytest.fail("".join(by.communicate()) + f"exit {by.returncode}")
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.2)
