"""The benchmark that kills searches, in short."""

from __future__ import annotations

import importlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from benchmarks.killing.power import Disk, compile_library
from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.processes import run


class Ended:
    """A search of one trial, which has ended when it is killed, and which may run it again."""

    def __init__(self, folder: Path, again: bool) -> None:
        self.folder, self.output, self._again = folder, folder / "output.txt", again
        self.output.touch()
        (folder / "mlruns").mkdir()
        self._storage = f"sqlite:///{folder / 'mlruns' / 'optuna.db'}"
        self.process, self._codes = self, [-9, 0]
        self._run()

    def _run(self) -> None:
        study = optuna.create_study(study_name="victim", storage=self._storage)
        study.add_trial(optuna.trial.create_trial(value=1.0))

    def poll(self) -> None:
        """As that of a process which runs."""

    def kill(self, victim: str, draw: random.Random) -> bool:
        return True

    def resume(self) -> None:
        if self._again:
            optuna.delete_study(study_name="victim", storage=self._storage)
            self._run()

    def end(self) -> int:
        return self._codes.pop(0)


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "again"), [("driver", True), ("power", True), ("group", False)])
def test_an_ended_trial_that_is_run_again_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str, again: bool
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    kills, looking = (importlib.import_module(name) for name in ("kills", "killing.looking"))

    def look(folder: Path, expected: set[str], ended: dict[str, Any]) -> Any:
        findings = looking.Findings()
        looking._look_at_study(looking.stored(folder), expected, ended, findings)
        return findings

    plan = SimpleNamespace(expected={"trial-000"})
    monkeypatch.setattr(kills, "Search", lambda folder, *_: Ended(folder, again))
    monkeypatch.setattr(kills, "leftovers", lambda _: looking.Findings())
    monkeypatch.setattr(kills, "look", look)
    killer = kills.Killer(plan, 0.5, (victim,), None, random.Random(0))

    kill = killer.one(tmp_path / "search", again=False)

    assert kill.victims == (f"{victim} after 0.5 s",)
    assert kill.findings == looking.Findings(doubled=["trial-000 was run again"] * again)


@pytest.mark.nightly
def test_searches_killed_at_random_lose_nothing() -> None:
    script = REPOSITORY / "benchmarks" / "kills.py"
    words = [sys.executable, script, "--quick", "--seed", "1", "--seconds", "20"]
    done = run(words, env=user_environment(), limit=290)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("resumed") >= 1, done.stdout
    assert found.pop("of_resumes") >= 1, done.stdout
    found.pop("missed")
    assert found == {"kills": 4, "lost": 0, "doubled": 0, "left_running": 0}, done.stdout


@pytest.mark.nightly
def test_what_was_not_synced_is_lost_with_the_power(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    library = compile_library(tmp_path)
    if library is None:
        pytest.skip("there is no C compiler")
    disk = Disk(tmp_path / "real", tmp_path / "shadow", library)
    script = """
import os, sqlite3
def write(name, content, synced):
    with open(name, "w") as file:
        file.write(content)
        file.flush()
        if synced:
            os.fsync(file.fileno())
def sync_folder(name):
    descriptor = os.open(name, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
os.mkdir("inner")
write("inner/synced", "one", True)
write("empty", "never synced", False)
write("before", "moved", True)
os.rename("before", "after")
sync_folder(".")
write("inner/synced", "two", False)
write("inner/unsynced", "x", False)
write("inner/late", "x", True)
os.rename("inner/late", "inner/later")
database = sqlite3.connect("a.db")
database.execute("CREATE TABLE t (x)")
for x in range(3):
    database.execute("INSERT INTO t VALUES (?)", (x,))
    database.commit()
"""
    environment = {**os.environ, **disk.environment}
    subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / "real", env=environment, check=True
    )
    disk.lose_power()
    real = tmp_path / "real"
    found = {str(each.relative_to(real)): each for each in real.rglob("*") if each.is_file()}
    assert {"inner/synced", "empty", "after", "inner/late", "a.db"} <= found.keys()
    assert found.keys().isdisjoint({"before", "inner/unsynced", "inner/later"})
    texts = {name: found[name].read_text() for name in ("inner/synced", "empty", "after")}
    assert texts == {"inner/synced": "one", "empty": "", "after": "moved"}
    with closing(sqlite3.connect(real / "a.db")) as database:
        rows = [x for (x,) in database.execute("SELECT x FROM t")]
    assert rows in ([0, 1], [0, 1, 2]), "at most what was committed last is lost"
