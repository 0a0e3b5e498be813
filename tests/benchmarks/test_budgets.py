"""The benchmark of time budgets, the short way."""

from __future__ import annotations

import json
import sys

import pytest

from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.processes import run

pytestmark = pytest.mark.nightly


def test_searches_keep_to_their_time_budgets() -> None:
    script = REPOSITORY / "benchmarks" / "budgets.py"
    done = run([sys.executable, script, "--quick"], env=user_environment(), limit=290)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"budgets": 2, "kept": 2}, done.stdout
