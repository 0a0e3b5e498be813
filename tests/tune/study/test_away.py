"""A storage that stays away, or refuses, stops the driver as a full disk does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.helpers.buckets import S3, s3
from tests.helpers.commands import DIGITS
from tests.helpers.studies import search_of
from trainable.files.remote import place_at
from tune.base.errors import ConfigError, Halt
from tune.config.loading import load_config
from tune.engine import runner
from tune.engine.runner import resume_search
from tune.engine.watchers import DropUnneeded
from tune.strategy.choice import Choice
from tune.study.folder import SearchFolder
from tune.study.lookup import folder_of
from tune.study.search import Search
from tune.study.stopwatch import Stopwatch
from tune.study.trial import TrialLog, TrialState


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3() as server:
        yield server


@pytest.fixture
def search(server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.chdir(tmp_path)
    where = f"tracking.storage={server.address}/{uuid.uuid4().hex}"
    return search_of(load_config(DIGITS, [where]), f"sqlite:///{tmp_path / 'study.db'}")


@pytest.fixture
def home(search: Search, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchFolder]:
    """One whose storage is waited for shortly."""
    home = folder_of(search.name, search.config.tracking)
    home.begin(search)
    home.checkpoints(0).write("last.pt", b"")
    monkeypatch.setattr(place_at, "__defaults__", (0.3,))
    monkeypatch.setattr("tune.study.shared._HURRY", 0.3)
    yield home
    home.release()


@pytest.fixture
def away(home: SearchFolder, server: S3) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_deleting_what_is_not_needed_halts(home: SearchFolder, search: Search) -> None:
    drop = DropUnneeded(home, "trial", 0, Choice.of(search))
    with pytest.raises(Halt, match=r"s3://.*/trial-000 is out of reach"):
        drop.changed(TrialLog(0, {}, 0, state=TrialState.FAIL))


@pytest.mark.slow
def test_going_on_halts(
    home: SearchFolder, search: Search, server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the driver meets it first: here where it looks for trials."""
    for name in ("prepare", "check_unchanged", "check_images", "share_of_each"):
        monkeypatch.setattr(runner, name, lambda *_: None)
    monkeypatch.setattr(runner, "resolve", lambda *_: search)
    watch = Stopwatch(home)
    server.stop()
    try:
        with pytest.raises(Halt, match=r"s3://.* is out of reach"):
            resume_search(search, home, Console(quiet=True), watch)
    finally:
        server.start()


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_clearing_is_a_mistake_in_one_line_and_leaving_waits_for_nothing(
    home: SearchFolder,
) -> None:
    home.clear_halves()
    home.release()
    with pytest.raises(ConfigError, match=r"tracking\.storage=s3://.* cannot be used: .*reach"):
        home.clear_checkpoints()
    home.discard()


def test_a_folder_of_a_network_that_fails_halts_too(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = SearchFolder("one", tmp_path)
    trial = tmp_path / "searches" / "one" / "trial-000" / "last.pt"
    trial.mkdir(parents=True)  # a folder, which cannot be deleted as a file
    drop = DropUnneeded(home, "trial", 0, Choice.of(search))
    with pytest.raises(Halt, match=r"last\.pt"):
        drop.changed(TrialLog(0, {}, 0, state=TrialState.FAIL))
