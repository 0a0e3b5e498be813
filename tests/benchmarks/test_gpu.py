"""The GPU's benchmark runs, as far as it can where there is none."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.processes import run

pytestmark = pytest.mark.nightly

SCRIPT = REPOSITORY / "benchmarks" / "gpu.py"

TOLD = {
    "semantics": {"metrics_depth_0_fp32", "checkpoints", "pixels_12_to_16"},
    "throughput": {"ceilings", "eager_32", "data_flip", "data_trivial", "profile", "plain"},
    "fractions": {"trials_1", "trials_2"},
    "search": {"digits"},
}
"""By section, figures that it tells."""


def measure(*words: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    """The exit code, and the last line."""
    environment = {**user_environment(), "CUDA_VISIBLE_DEVICES": ""}
    done = run(
        [sys.executable, SCRIPT, "--quick", "--cpu", *words], cwd=cwd, env=environment, limit=290
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("section", TOLD)
def test_a_section_tells_its_figures(section: str, tmp_path: Path) -> None:
    code, told = measure("--only", section, "--seconds", "260", cwd=tmp_path)

    assert told[section]["ended"] == "well", told
    assert code == 0
    assert TOLD[section] <= told[section].keys()
    assert told.keys() == {"machine", section}


def test_a_section_whose_time_is_up_leaves_the_others_theirs(tmp_path: Path) -> None:
    code, told = measure("--only", "semantics,fractions", "--seconds", "1", cwd=tmp_path)

    assert code == 1
    assert told["semantics"]["ended"] == "its time was up"
    assert "ended" in told["fractions"]


def test_a_section_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run([sys.executable, SCRIPT, "--only", "speed"], cwd=tmp_path)
    assert done.returncode == 2
    assert "no section speed" in done.stderr
