from __future__ import annotations

import io
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console
from s3fs import S3FileSystem

from tests.helpers.buckets import ENVIRONMENT
from tests.helpers.commands import DIGITS
from tests.helpers.postgres import postgres
from tests.helpers.processes import running
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.engine.launch import Launch, new_search
from tune.engine.resumption import _extended, resumed_or_new_search, resumed_search
from tune.strategy.portfolio import open_search
from tune.study.folder import SearchFolder
from tune.study.lookup import find_folder, known
from tune.study.opening import conclude_study
from tune.study.search import Search


@pytest.fixture
def search() -> Search:
    config = load_config(DIGITS, ["budget.time=20s", "budget.num_samples=4"])
    return Search(name="one", config=config, data_fingerprint="f", weights_hash=None)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (
            {"num_samples": "40"},
            "--num-samples 40: the search has used up its 20 s; add --time-budget MORE",
        ),
        (
            {"num_samples": "40", "time": "21s"},
            "--time-budget 21s: it is counted over all runs of a search, and this one has taken "
            "22 s; give more",
        ),
        ({"num_samples": "3", "time": "1h"}, "--num-samples 3: the search has 4; give more"),
    ],
)
def test_an_extension_that_changes_nothing_is_refused_by_what_was_given(
    search: Search, budget: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _extended(search, budget, elapsed=22)
    assert str(caught.value) == told


def test_more_trials_and_time_are_taken(search: Search) -> None:
    more = _extended(search, {"num_samples": "40", "time": "1h"}, elapsed=22).config.budget
    assert (more.num_samples, more.time) == (40, 3600)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (
            {"num_samples": "40"},
            "--num-samples 40: the search has reached its target of 0.9; add --target MORE",
        ),
        ({"target": "0.9"}, "--target 0.9: the search has reached its target of 0.9; give more"),
        ({"target": "0.8"}, "--target 0.8: the search has reached its target of 0.9; give more"),
        ({"target": "95"}, "budget.target=95: val_acc is above 0 and at most 1"),
    ],
)
def test_a_search_that_has_reached_its_target_needs_a_harder_one(
    search: Search, budget: dict[str, str], told: str
) -> None:
    reached = _reached(search, "budget.target=0.9")
    with pytest.raises(ConfigError) as caught:
        _extended(reached, budget, elapsed=2)
    assert told in str(caught.value)
    assert _extended(reached, {"target": "0.95"}, elapsed=2).config.budget.target == 0.95


def test_what_was_cut_short_on_the_way_goes_on_with_more_time(search: Search) -> None:
    reached = _reached(search, "budget.target=0.9", "budget.time=20s")
    cut = reached.model_copy(update={"cut_short": True})
    more = _extended(cut, {"time": "1h"}, elapsed=22)
    assert (more.concluded, more.cut_short, more.reached_target) == (False, False, False)


def test_an_extension_that_was_killed_can_be_given_again(search: Search) -> None:
    once = _extended(_reached(search, "budget.target=0.9"), {"target": "0.95"}, elapsed=2)
    again = _extended(once, {"target": "0.95"}, elapsed=2)
    assert again.config.budget.target == 0.95


def test_the_options_that_were_given_are_named(search: Search) -> None:
    with pytest.raises(ConfigError, match=r"--target 0\.95: the search has used up its 20 s"):
        _extended(search, {"target": "0.95"}, elapsed=22)


def test_a_loss_is_harder_where_it_is_lower(search: Search) -> None:
    reached = _reached(search, "budget.target=0.5", "objective.metric=val_loss")
    assert _extended(reached, {"target": "0.4"}, elapsed=2).config.budget.target == 0.4
    with pytest.raises(ConfigError, match=r"--target 0\.6: the search has reached"):
        _extended(reached, {"target": "0.6"}, elapsed=2)


def _reached(search: Search, *given: str) -> Search:
    config = load_config(DIGITS, ["budget.num_samples=4", *given])
    return search.model_copy(update={"config": config, "concluded": True, "reached_target": True})


def test_what_a_search_that_is_finished_has_come_to_is_said(tmp_path: Path) -> None:
    config = load_config(DIGITS, ["budget.target=0.9", "budget.time=60s"])
    home = SearchFolder("one", tmp_path)
    ended = partial(Launch, home, config, print, True)
    assert (
        "search one has reached its target of 0.9; for more: --target" in ended(False, True).already
    )
    assert "has used up its 60 s; for more: --time-budget" in ended(True, False).already
    two_days = partial(Launch, home, load_config(DIGITS, ["budget.time=2d"]), print, True)
    assert "has used up its 2 d; for more: --time-budget" in two_days(True, False).already
    assert "is finished, with 20 trials; for more: --num-samples" in ended(False, False).already


@pytest.fixture
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("TUNE_STORAGE", "TUNE_STUDY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


HOLD = """
import sys, time
from pathlib import Path
from tune.study.folder import SearchFolder
home = SearchFolder("night", Path(sys.argv[1]))
home.lock()
print("held", flush=True)
time.sleep(60)
"""
COMMAND = (DIGITS, ["tracking.uri=sqlite:///mlflow.db", "budget.num_samples=4"])


def begin(launch: Launch, **found: object) -> None:
    """Start a search as far as it goes without Ray, and let the process end."""
    search = Search(
        name=launch.home.name, config=launch.config, data_fingerprint="f", weights_hash=None
    )
    launch.home.begin(search)
    ledger = open_search(search)
    if found:
        ended = search.model_copy(update=found)
        conclude_study(ledger, ended)
        launch.home.save(ended)
    launch.home.release()


@pytest.mark.parametrize("storage", [None, "memory://jobs"])
def test_the_same_command_starts_a_search_goes_on_with_it_and_then_has_nothing_to_do(
    storage: str | None, in_an_empty_folder: Path
) -> None:
    given, words = COMMAND
    words = [*words, *([f"tracking.storage={storage}"] if storage else [])]

    def again(name: str, **budget: str) -> Launch:
        launch = resumed_or_new_search(given, words, name, {"num_samples": "4", **budget})
        launch.home.release()
        return launch

    name = f"night-{storage is None}"
    first = again(name)
    assert not first.home.exists
    begin(first)
    assert again(name).config.budget.num_samples == 4
    assert not again(name).finished
    done = again(f"{name}-done")
    begin(done, concluded=True)
    assert again(f"{name}-done").finished
    more = again(f"{name}-done", num_samples="6")
    assert (more.finished, more.config.budget.num_samples) == (False, 6)


def test_where_the_environment_has_the_addresses_no_config_needs_them(
    in_an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, words = COMMAND
    monkeypatch.setenv("TUNE_STUDY", "sqlite:///study.db")
    monkeypatch.setenv("TUNE_STORAGE", "shared")
    launch = resumed_or_new_search(given, words, "night", {})
    assert launch.config.tracking.study == "sqlite:///study.db"
    assert launch.config.tracking.storage == str(in_an_empty_folder / "shared")
    begin(launch)
    assert known(find_folder("night")) is not None
    assert (in_an_empty_folder / "shared" / "searches" / "night" / "owner.json").is_file()


def test_a_search_that_a_process_runs_is_waited_for(
    in_an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.engine.resumption._PATIENCE", 0.3)
    given, words = COMMAND
    begin(resumed_or_new_search(given, words, "night", {}))
    with running([sys.executable, "-c", HOLD, str(in_an_empty_folder / "mlruns")]) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process is running it"):
            resumed_or_new_search(given, words, "night", {})
        threading.Timer(0.1, holder.kill).start()
        monkeypatch.setattr("tune.engine.resumption._PATIENCE", 10.0)
        resumed_or_new_search(given, words, "night", {}).home.release()


def test_a_start_that_has_no_study_yet_is_waited_for(
    in_an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.engine.resumption._PATIENCE", 0.3)
    given, words = COMMAND
    with running([sys.executable, "-c", HOLD, str(in_an_empty_folder / "mlruns")]) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process is running it"):
            resumed_or_new_search(given, words, "night", {})
        monkeypatch.setattr("tune.engine.resumption._PATIENCE", 10.0)
        threading.Timer(0.1, holder.kill).start()
        launch = resumed_or_new_search(given, words, "night", {})
    assert launch.home.is_own
    assert not launch.home.exists
    launch.home.release()


def test_a_start_that_comes_to_its_study_while_it_is_waited_for_is_gone_on_with(
    in_an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, words = COMMAND
    config = new_search(given, words, "night").config
    search = Search(name="night", config=config, data_fingerprint="f", weights_hash=None)
    home, gone_on = SearchFolder("night"), list[str]()
    monkeypatch.setattr("tune.engine.runner.resume_search", lambda s, *_: gone_on.append(s))
    with running([sys.executable, "-c", HOLD, str(in_an_empty_folder / "mlruns")]) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        def come_to_it_and_die() -> None:
            home.save(search)
            holder.kill()

        threading.Timer(0.5, come_to_it_and_die).start()
        launch = resumed_or_new_search(given, words, "night", {})
    launch.run(Console(quiet=True))
    assert gone_on == [search]
    launch.home.release()


def test_of_a_start_that_was_refused_after_all_nothing_stays(in_an_empty_folder: Path) -> None:
    given, words = COMMAND
    before = list(in_an_empty_folder.iterdir())
    launch = resumed_or_new_search(given, words, "night", {})
    launch.clean()
    assert list(in_an_empty_folder.iterdir()) == before
    with pytest.raises(ConfigError, match="the server does not answer"):
        resumed_or_new_search(given, ["tracking.uri=http://127.0.0.1:1"], "night", {})
    assert list(in_an_empty_folder.iterdir()) == before
    begin(resumed_or_new_search(given, words, "night", {}))
    begun = resumed_or_new_search(given, words, "night", {})
    begun.clean()
    assert begun.home.exists
    begun.home.release()


@pytest.mark.parametrize(
    ("has_credentials", "told"), [(True, "out of reach"), (False, "Unable to locate credentials")]
)
def test_a_new_search_waits_shortly_for_a_storage_that_cannot_be_used(
    has_credentials: bool, told: str, in_an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.study.shared._HURRY", 0.5)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in () if has_credentials else ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(in_an_empty_folder))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    S3FileSystem.clear_instance_cache()
    given, words = COMMAND
    away = [*words, "tracking.storage=s3://away", "tracking.study=sqlite:///study.db"]
    start = time.monotonic()
    with pytest.raises(ConfigError, match=f"tracking.storage=s3://away cannot be used: .*{told}"):
        new_search(given, away, "night")
    assert time.monotonic() - start < 60
    S3FileSystem.clear_instance_cache()


@pytest.mark.nightly
def test_a_job_waits_for_the_server_of_its_study_and_says_so(in_an_empty_folder: Path) -> None:
    said: list[str] = []
    with postgres() as server:
        given, words = COMMAND
        words = [*words, f"tracking.study={server.url}", "tracking.storage=shared"]
        begin(resumed_or_new_search(given, words, "night", {}, said.append))
        assert said == []
        server.stop()
        coming = threading.Timer(3.0, server.start)
        coming.start()
        resumed_or_new_search(given, words, "night", {}, said.append).home.release()
        coming.join()
    (told,) = said
    assert "tracking.study=postgresql" in told
    assert told.endswith("it is waited for, 120 s long")


@pytest.mark.slow
def test_a_server_that_refuses_is_not_waited_for(in_an_empty_folder: Path) -> None:
    said: list[str] = []
    with postgres(password="of another") as server:
        given, words = COMMAND
        words = [*words, f"tracking.study={server.url}", "tracking.storage=shared"]
        with pytest.raises(ConfigError, match=r"tracking\.study=\S+ cannot be used"):
            resumed_or_new_search(given, words, "night", {}, said.append)
    assert said == []


def test_a_search_goes_on_without_the_server_of_its_record_and_says_so(
    in_an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, words = COMMAND
    first = resumed_or_new_search(given, words, "night", {})
    begin(first)
    away = first.config.tracking.model_copy(update={"uri": "http://127.0.0.1:1"})
    search = first.home.load()
    config = search.config.model_copy(update={"tracking": away})
    first.home.save(search.model_copy(update={"config": config}))
    launch = resumed_search("night", {})
    monkeypatch.setattr("tune.engine.runner.resume_search", lambda *_: None)
    printed = io.StringIO()
    launch.run(Console(file=printed))
    launch.home.release()
    assert "tracking.uri=http://127.0.0.1:1: the server does not answer" in printed.getvalue()
    assert "the search goes on, and the record catches up" in printed.getvalue()
