"""One small search, run as a user runs it, that many tests look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, sync_playwright

from tests.helpers.commands import DIGITS, SMALL, run_module
from tests.helpers.searches import FinishedSearch


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
