"""What the driver brings to the nodes of a cluster; tests/e2e/test_cluster.py has real ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY
from tune.engine.cluster import code_for_nodes
from tune.engine.nodes import says_where


def test_the_drivers_code_is_brought_and_nothing_beside_it() -> None:
    brought = code_for_nodes()["py_modules"]
    assert [Path(folder) for folder in brought] == [REPOSITORY / "tune", REPOSITORY / "trainable"]
    size = sum(
        path.stat().st_size
        for folder in brought
        for path in Path(folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    )
    assert size < 40 * 2**20


def test_what_was_submitted_with_a_folder_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = {"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(submitted))
    monkeypatch.setenv("TUNE_PLUGINS", "my_sources")
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    monkeypatch.delenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", raising=False)
    variables = {"RAY_CHDIR_TO_TRIAL_DIR": "0", "TUNE_PLUGINS": "my_sources"}
    assert code_for_nodes() == {"env_vars": variables}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": {}}))
    assert "py_modules" in code_for_nodes()


@pytest.mark.parametrize(
    ("study", "told"),
    [(None, True), ("sqlite:///x.db", True), ("postgresql+psycopg://tune@host/study", False)],
)
def test_a_study_on_this_machine_is_remarked_on(study: str | None, told: bool) -> None:
    assert (says_where(study) is not None) == told
