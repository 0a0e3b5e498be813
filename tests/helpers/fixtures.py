"""Searches, databases and a browser that tests of many rooms look at, each made once a session."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.helpers.lacking import lacking
from tests.helpers.plugins import use_plugin
from tests.helpers.sharing import made_once

if TYPE_CHECKING:  # what is slow to import is imported where it is used
    from playwright.sync_api import Browser

    from tests.helpers.searches import FinishedSearch


@pytest.fixture(scope="session", autouse=True)
def networks_drawn_once() -> Iterator[None]:
    """Draw the random weights of a network once, and copy them for the tests that ask again."""
    with pytest.MonkeyPatch.context() as patch:
        if "trainable.network.resnet" in sys.modules:  # else few tests run, and none at once
            from tests.helpers.networks import build_once

            patch.setattr("trainable.network.resnet.ResNets.build", build_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Have Optuna load its migrations once, and not at each opening of a storage."""
    versions = getattr(sys.modules.get("optuna.storages._rdb.storage"), "_VersionManager", None)
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(versions, "get_head_version"):
            real, found = versions.get_head_version, list[str]()

            def once(manager: object) -> str:
                if not found:
                    found.append(real(manager))
                return found[0]

            patch.setattr(versions, "get_head_version", once)
        yield


@pytest.fixture(scope="module")
def small_networks() -> Iterator[None]:
    """Have the network `small`, of kilobytes, until the module's tests have run."""
    with pytest.MonkeyPatch.context() as patch:
        use_plugin("tests.helpers.plugins.small_net", patch)
        yield


@pytest.fixture(scope="module")
def models_without_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Register models without the hundred files of this package that only their server imports."""
    package = tmp_path_factory.mktemp("code") / "trainable" / "__init__.py"
    package.parent.mkdir()
    package.touch()
    with pytest.MonkeyPatch.context() as patch:
        code = SimpleNamespace(__file__=str(package))
        patch.setattr("tune.models.packaging.trainable", code)
        yield


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory: pytest.TempPathFactory) -> FinishedSearch:
    """One small search, run as a user runs it, one trial at a time; a copy for each worker."""
    from tests.helpers.searches import ALONE, copied, run_search

    made = made_once(tmp_path_factory, "finished", lambda folder: run_search(folder, *ALONE))
    return copied(made, tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's with nothing in it, to be copied: it takes seconds to make."""
    from mlflow import MlflowClient

    def make(folder: Path) -> None:
        MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()

    return made_once(tmp_path_factory, "empty", make) / "mlflow.db"


@pytest.fixture(scope="module")  # its event loop would be in the way of other modules' tests
def browser() -> Iterator[Browser]:
    """A browser to look at pages with."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


def chromium() -> str:
    """The path of the browser."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None) or lacking("no Chromium")
