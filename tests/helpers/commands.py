"""The commands, run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from tests.helpers.processes import run, running

REPOSITORY = Path(__file__).parents[2]
DIGITS = REPOSITORY / "configs" / "digits.yaml"
SMALL = (
    "data.image_size=16",
    "data.limit=300",
    "model.weights=random",
    "train.epochs=3",
    "train.batch_size=64",
    "confirm.top_k=0",
    "confirm.folds=0",
    "resources.max_concurrent=1",
)
"""Overrides that make a digits trial take about a second, one at a time.

A second worker costs each search the imports of one more process."""


def user_environment() -> dict[str, str]:
    """A user's variables, without what MLflow has set in this process for itself."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        environment.pop(name, None)
    return environment


def running_module(
    module: str, *words: str, cwd: Path
) -> AbstractContextManager[subprocess.Popen[str]]:
    """One of the commands, running in `cwd` until the block ends."""
    return running([sys.executable, "-m", module, *words], cwd=cwd, env=user_environment())


def run_module(module: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the commands in `cwd` to its end."""
    return run([sys.executable, "-m", module, *words], cwd=cwd, env=user_environment())
