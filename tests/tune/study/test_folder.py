from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.processes import running
from tests.helpers.studies import search_of
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.study.folder import SearchFolder
from tune.study.search import Search

HOLD = """
import sys, time
from pathlib import Path
from tune.study.folder import SearchFolder
home = SearchFolder("one", Path(sys.argv[1]))
home.lock()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def search() -> Search:
    config = load_config(DIGITS, ["sampler.points=[{optim: {lr: 0.001}}]", "budget.time=30m"])
    return Search(name="one", config=config, data_fingerprint="f", weights_hash=None)


def test_a_search_is_read_back_as_it_was_begun(search: Search, tmp_path: Path) -> None:
    SearchFolder("one", tmp_path).begin(search)
    assert SearchFolder("one", tmp_path).load() == search
    assert sorted(path.name for path in SearchFolder("one", tmp_path).folder.iterdir()) == [
        "lock",
        "search.json",
    ]


def test_two_searches_have_different_identities(search: Search) -> None:
    values = search.model_dump(exclude={"identity"})
    assert Search.model_validate(values).identity != search.identity


def test_a_name_that_is_taken_is_refused_with_both_ways_out(search: Search, tmp_path: Path) -> None:
    running = SearchFolder("one", tmp_path)
    running.begin(search)
    with pytest.raises(ConfigError, match="another process is running it"):
        SearchFolder("one", tmp_path).begin(search)
    del running
    with pytest.raises(ConfigError, match="--resume one, or choose another"):
        SearchFolder("one", tmp_path).begin(search)


def test_while_a_process_runs_a_search_another_cannot_and_its_death_lets_go(
    tmp_path: Path,
) -> None:
    with running([sys.executable, "-c", HOLD, str(tmp_path)]) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process is running it"):
            SearchFolder("one", tmp_path).lock()
        other.kill()
        other.wait()
    SearchFolder("one", tmp_path).lock()


def test_an_unknown_name_lists_what_there_is_nearest_first(search: Search, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no search was started in this folder"):
        SearchFolder("on", tmp_path).load()
    for name in ("digits-1", "one"):
        SearchFolder(name, tmp_path).begin(search)
    with pytest.raises(ConfigError, match="search on: no such search; there is one, digits-1"):
        SearchFolder("on", tmp_path).load()
    assert not (tmp_path / "searches" / "on").exists()


@pytest.mark.parametrize("content", ["", "{}", '{"name": "one", "config": {"space": 3}}', "\xff"])
def test_a_broken_file_is_told(content: str, search: Search, tmp_path: Path) -> None:
    home = SearchFolder("one", tmp_path)
    home.begin(search)
    (home.folder / "search.json").write_text(content)
    with pytest.raises(ConfigError, match=r"search\.json cannot be read"):
        home.load()


def test_a_search_that_was_not_begun_after_all_leaves_nothing(
    search: Search, tmp_path: Path
) -> None:
    home = SearchFolder("one", tmp_path / "mlruns")
    home.begin(search)
    home.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_search_of_before_folds_goes_on_without_them() -> None:
    search = search_of(
        load_config(DIGITS, ["confirm.top_k=2", "confirm.folds=auto"]), "sqlite:///optuna.db"
    )
    recorded = search.model_dump(mode="json")
    del recorded["config"]["confirm"]["folds"], recorded["config"]["refit"]
    found = Search.model_validate(recorded).config
    assert (found.confirm.folds, found.refit.enabled) == (0, False)
    assert Search.model_validate(search.model_dump(mode="json")).config.confirm.folds == "auto"
