"""A search whose MLflow server goes away."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.helpers.commands import DIGITS, SMALL, running_module
from tests.helpers.processes import wait_until
from tests.helpers.searches import runs
from tests.helpers.servers import Server


@pytest.mark.nightly
def test_a_search_ends_without_its_server_and_a_resume_tells_it_all(
    empty_database: Path, tmp_path: Path
) -> None:
    shutil.copy(empty_database, tmp_path)
    with Server(tmp_path) as server:
        words = ("--num-samples=2", "--name=first", f"tracking.uri={server.uri}")
        words += ("tracking.patience=25s", "--config", str(DIGITS), *SMALL)
        client = MlflowClient(server.uri)
        with running_module("tune.search", *words, cwd=tmp_path) as search:
            wait_until(
                lambda: bool(client.get_experiment_by_name("digits") and runs(client, "trial")),
                by=search,
            )
            server.stop()
            output, errors = search.communicate(timeout=200)
        assert search.returncode == 1, output + errors
        assert "test accuracy" in output
        assert re.search(r"MLflow has not recorded all of [12] of 2 trials, nor the model", errors)
        assert "go on with: python -m tune.search --resume first" in errors
        with running_module("tune.search", "--resume", "first", cwd=tmp_path) as resumed:
            assert resumed.stdout is not None
            assert any("the record catches up" in line for line in resumed.stdout)
            server.start()
            output, errors = resumed.communicate(timeout=200)
        assert resumed.returncode == 0, output + errors
        assert "alias champion" in output
        kinds = [*runs(client, "search"), *runs(client, "trial")]
        assert [run.info.status for run in kinds].count("RUNNING") == 0
        assert len(kinds) == 3
