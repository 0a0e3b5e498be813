"""The benchmark of many photographs, with few."""

from __future__ import annotations

import json
import sys

import pytest

from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.processes import run

pytestmark = pytest.mark.nightly


def test_a_second_start_decodes_nothing_and_memory_is_small() -> None:
    script = REPOSITORY / "benchmarks" / "scale_of_data.py"
    done = run([sys.executable, script, "--quick"], env=user_environment(), limit=290)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["images"] == 1000
    own = found["warm_seconds"] - found["imports_seconds"]
    assert own < (found["cold_seconds"] - found["imports_seconds"]) / 3
    assert found["peak_gb"] < 1.5
    assert found["over_pil"] > 0.3
