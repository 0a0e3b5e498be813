"""What the driver brings to the nodes of a cluster; tests/e2e/test_cluster.py has real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY
from trainable.files.remote import place_at
from tune.base.errors import ConfigError
from tune.engine.cluster import code_for_nodes
from tune.engine.nodes import Answer, check_storage, name_of, says_where, where_trials_run


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
    monkeypatch.setenv("TUNE_COMMAND", "a search")
    monkeypatch.delenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", raising=False)
    variables = {
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "TUNE_PLUGINS": "my_sources",
        "TUNE_COMMAND": "a search",
    }
    assert code_for_nodes() == {"env_vars": variables}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": {}}))
    assert "py_modules" in code_for_nodes()


@pytest.mark.parametrize(
    ("study", "told"),
    [(None, True), ("sqlite:///x.db", True), ("postgresql+psycopg://tune@host/study", False)],
)
def test_a_study_on_this_machine_is_remarked_on(study: str | None, told: bool) -> None:
    assert (says_where(study) is not None) == told


NODES = [
    {
        "NodeID": f"id{number}",
        "NodeManagerHostname": f"node-{number}",
        "NodeManagerAddress": address,
    }
    for number, address in ((1, "10.0.0.1"), (2, "10.0.0.2"))
]


def answering(reasons: dict[str, str | None]) -> Callable[..., list[Answer]]:
    """Nodes that answer as those would that see a storage, or do not."""

    def ask(_: object, storage: str, mark: str) -> list[Answer]:
        for node in NODES:
            if reasons[node["NodeID"]] is None:
                place_at(f"{storage}/nodes").write(f"{mark}-{node['NodeID']}", b"")
        return [Answer(name_of(node), reasons[node["NodeID"]]) for node in NODES]

    return ask


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.engine.nodes.alive_nodes", lambda: NODES)


@pytest.mark.usefixtures("two_nodes")
def test_several_nodes_without_a_storage_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"this cluster has 2 nodes.*give --storage s3://"):
        check_storage(None)


@pytest.mark.usefixtures("two_nodes")
def test_a_storage_that_all_see_is_taken_and_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune.engine.nodes.ask_each", answering({"id1": None, "id2": None}))
    check_storage("memory://seen")
    assert place_at("memory://seen/nodes").names() == []


@pytest.mark.usefixtures("two_nodes")
def test_a_node_that_does_not_see_it_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tune.engine.nodes.ask_each", answering({"id1": None, "id2": "Forbidden"}))
    told = r"--storage \S+: not every node can use it \(node-2 \(10\.0\.0\.2\): Forbidden\)"
    with pytest.raises(ConfigError, match=told):
        check_storage(str(tmp_path))
    assert list((tmp_path / "nodes").iterdir()) == []


@pytest.mark.usefixtures("two_nodes")
def test_a_node_that_writes_elsewhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_: object, storage: str, mark: str) -> list[Answer]:
        place_at(f"{storage}/nodes").write(f"{mark}-id1", b"")
        return [Answer(name_of(node)) for node in NODES]

    monkeypatch.setattr("tune.engine.nodes.ask_each", ask)
    with pytest.raises(ConfigError, match=r"node-2 .*: what it wrote there cannot be seen from"):
        check_storage("memory://elsewhere")


def test_on_one_machine_a_function_is_called_here() -> None:
    assert where_trials_run(lambda first, second: (first, second), 1, 2, cpu=1) == (1, 2)
