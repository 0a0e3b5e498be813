"""One small search, run as a user runs it, that many tests look at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Browser, sync_playwright

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


@dataclass(frozen=True)
class FinishedSearch:
    """A search that ran in a folder of its own.

    Attributes:
        folder: Its working directory.
        output: What it printed.
    """

    folder: Path
    output: str

    @property
    def uri(self) -> str:
        """MLflow's tracking URI."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def client(self) -> MlflowClient:
        """Of its record."""
        return MlflowClient(self.uri)

    @property
    def study_path(self) -> Path:
        """File of Optuna's storage."""
        return self.folder / "mlruns" / "optuna.db"

    @property
    def study_url(self) -> str:
        """Optuna's storage."""
        return f"sqlite:///{self.study_path}"

    def runs(self, kind: str) -> list[Run]:
        """The runs of a kind: `search`, `trial` or `confirm`, in the order of their trials."""
        return runs(self.client, kind)


def runs(client: MlflowClient, kind: str) -> list[Run]:
    """The digits' runs of a kind, `search` or `trial`, in the order of their trials."""
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
        "resources.max_concurrent=1",
        *SMALL,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return FinishedSearch(folder, done.stdout)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's with nothing in it, to be copied: it takes seconds to make."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def confirmed_search(tmp_path_factory: pytest.TempPathFactory) -> FinishedSearch:
    """A search whose two best trials ran again under two other seeds."""
    folder = tmp_path_factory.mktemp("confirmed")
    words = ("--config", str(DIGITS), "--num-samples=5", "--name=first", *SMALL)
    done = run_module("tune.search", *words, "confirm.top_k=2", "confirm.seeds=2", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return FinishedSearch(folder, done.stdout)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


def chromium() -> str:
    """A browser to look at pages with."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip("no Chromium")


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run the test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
