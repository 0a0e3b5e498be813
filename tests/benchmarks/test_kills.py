"""The benchmark that kills searches, in short."""

from __future__ import annotations

import json
import sys

import pytest

from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.processes import run

pytestmark = pytest.mark.nightly


def test_searches_killed_at_random_lose_nothing() -> None:
    script = REPOSITORY / "benchmarks" / "kills.py"
    words = [sys.executable, script, "--quick", "--seed", "1", "--seconds", "20"]
    done = run(words, env=user_environment(), limit=290)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("resumed") >= 1, done.stdout
    assert found == {"kills": 4, "lost": 0, "doubled": 0, "left_running": 0}, done.stdout
