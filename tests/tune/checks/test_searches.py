"""Searches whose files are broken; tests/e2e has one that was killed."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.doctor import examine


def test_a_broken_file_of_a_search_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "mlruns" / "searches" / "first"
    folder.mkdir(parents=True)
    (folder / "search.json").write_text("{}")
    _, found = examine(tmp_path)
    assert found["search first"].state == "warn"
    assert "search.json cannot be read" in found["search first"].message
