"""One small search, run as a user runs it, that many tests look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

REPOSITORY = Path(__file__).parents[2]
DIGITS = REPOSITORY / "configs" / "digits.yaml"
SMALL = ("data.image_size=16", "data.limit=300", "train.epochs=3", "model.weights=random")
"""Overrides that make a digits trial take about a second."""


def run_module(module: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the commands in `cwd`, as a user would."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@dataclass(frozen=True)
class FinishedSearch:
    """A search that ran in a folder of its own.

    Attributes:
        folder: Its working directory.
        output: What it printed.
        samples: Trials it was asked for.
    """

    folder: Path
    output: str
    samples: int

    @property
    def uri(self) -> str:
        """MLflow's tracking URI."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def study_url(self) -> str:
        """Optuna's storage."""
        return f"sqlite:///{self.folder / 'mlruns' / 'optuna.db'}"

    def runs(self, kind: str) -> list[Run]:
        """The runs of a kind, `search` or `trial`, in the order of their trials."""
        client = MlflowClient(self.uri)
        experiment = client.get_experiment_by_name("digits")
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id], f"tags.`tune.kind` = '{kind}'")
        return sorted(found, key=lambda run: int(run.data.tags.get("tune.number", 0)))


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory: pytest.TempPathFactory) -> FinishedSearch:
    folder = tmp_path_factory.mktemp("search")
    done = run_module(
        "tune.search",
        "--config",
        str(DIGITS),
        "--num-samples=5",
        "--name=first",
        *SMALL,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return FinishedSearch(folder, done.stdout, samples=5)


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run the test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
