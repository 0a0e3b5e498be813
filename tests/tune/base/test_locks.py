"""Looking whether a file's lock is taken."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from tune.base.locks import acquire, is_taken


def test_a_lock_is_taken_while_another_has_it_and_a_look_leaves_it_free(tmp_path: Path) -> None:
    looker, other = (FileLock(tmp_path / "lock") for _ in range(2))
    acquire(other, 0.0)
    assert is_taken(looker)
    other.release()
    assert not is_taken(looker)
    acquire(other, 0.0)


def test_a_look_makes_no_file(tmp_path: Path) -> None:
    assert not is_taken(FileLock(tmp_path / "lock"))
    assert not (tmp_path / "lock").exists()
