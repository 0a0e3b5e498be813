"""Searches whose files are broken; tests/e2e has one that was killed."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.commands import DIGITS
from tests.helpers.doctor import examine
from tests.helpers.studies import search_of
from tune.config.loading import load_config
from tune.study.folder import SearchFolder


def test_a_broken_file_of_a_search_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "mlruns" / "searches" / "first"
    folder.mkdir(parents=True)
    (folder / "search.json").write_text("{}")
    _, found = examine(tmp_path)
    assert found["search first"].state == "warn"
    assert "search.json cannot be read" in found["search first"].message


def test_what_was_found_of_duplicates_is_told(tmp_path: Path) -> None:
    found = "2 groups of exact or near duplicates, 5 images"
    search = search_of(load_config(DIGITS), f"sqlite:///{tmp_path / 'optuna.db'}")
    home = SearchFolder("one", tmp_path / "mlruns")
    home.folder.mkdir(parents=True)
    home.save(search.model_copy(update={"duplicates": found, "concluded": True}))
    _, findings = examine(tmp_path)
    assert findings["search one"].message == f"finished; its images: {found}"


def test_a_search_that_was_cut_short_is_told_how_to_go_on(tmp_path: Path) -> None:
    search = search_of(load_config(DIGITS), f"sqlite:///{tmp_path / 'optuna.db'}")
    home = SearchFolder("one", tmp_path / "mlruns")
    home.folder.mkdir(parents=True)
    home.save(search.model_copy(update={"concluded": True, "cut_short": True}))
    _, findings = examine(tmp_path)
    found = findings["search one"]
    assert (found.state, found.message) == ("ok", "finished, cut short by its time budget")
    assert found.fix == "python -m tune.search --resume one --time-budget MORE"
