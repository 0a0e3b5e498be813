"""What the driver brings to the nodes of a cluster; tests/e2e/test_cluster.py has real ones."""

from __future__ import annotations

import io
import json
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
import ray
from ray._private.services import canonicalize_bootstrap_address
from ray.cluster_utils import Cluster
from rich.console import Console

from tests.helpers.commands import DIGITS, REPOSITORY, SMALL
from tests.helpers.processes import wait_until
from trainable.files.remote import place_at
from tune.base.errors import ConfigError, Halt
from tune.checks.nodes import Question, describe, now, own_images
from tune.config.loading import load_config
from tune.engine import cluster
from tune.engine.callback import LedgerCallback
from tune.engine.cluster import code_for_nodes
from tune.engine.ending import hold_contest
from tune.engine.marks import check_storage
from tune.engine.nodes import (
    Answer,
    AwaitedNodes,
    alive_nodes,
    ask_each,
    name_of,
    says_where,
    where_trials_run,
)
from tune.engine.ray_compat import ray_as_it_was
from tune.engine.resources import TrialResources
from tune.engine.runner import start_search
from tune.engine.stopping import TimeBudget
from tune.engine.survey import looked_at_together, survey
from tune.study.lookup import folder_of


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

    def ask(_: object, storage: str, mark: str, *, nodes: object) -> list[Answer]:
        assert nodes is NODES
        for node in NODES:
            if reasons[node["NodeID"]] is None:
                place_at(f"{storage}/nodes").write(f"{mark}-{node['NodeID']}", b"")
        return [Answer(name_of(node), reasons[node["NodeID"]]) for node in NODES]

    return ask


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.engine.marks.alive_nodes", lambda: NODES)


@pytest.mark.usefixtures("two_nodes")
def test_several_nodes_without_a_storage_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"this cluster has 2 nodes.*give --storage s3://"):
        check_storage(None)


@pytest.mark.usefixtures("two_nodes")
def test_a_storage_that_all_see_is_taken_and_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune.engine.marks.ask_each", answering({"id1": None, "id2": None}))
    check_storage("memory://seen")
    assert place_at("memory://seen/nodes").names() == []


@pytest.mark.usefixtures("two_nodes")
def test_a_storage_of_no_known_kind_is_a_mistake_of_the_driver() -> None:
    with pytest.raises(ConfigError, match=r"tracking\.storage=nosuch://all cannot be used: Proto"):
        check_storage("nosuch://all")


@pytest.mark.usefixtures("two_nodes")
def test_a_node_that_does_not_see_it_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tune.engine.marks.ask_each", answering({"id1": None, "id2": "Forbidden"}))
    told = r"--storage \S+: not every node can use it \(node-2 \(10\.0\.0\.2\): Forbidden\)"
    with pytest.raises(ConfigError, match=told):
        check_storage(str(tmp_path))
    assert list((tmp_path / "nodes").iterdir()) == []


@pytest.mark.usefixtures("two_nodes")
def test_a_node_that_writes_elsewhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_: object, storage: str, mark: str, **__: object) -> list[Answer]:
        place_at(f"{storage}/nodes").write(f"{mark}-id1", b"")
        return [Answer(name_of(node)) for node in NODES]

    monkeypatch.setattr("tune.engine.marks.ask_each", ask)
    with pytest.raises(ConfigError, match=r"node-2 .*: what it wrote there cannot be seen from"):
        check_storage("memory://elsewhere")


def test_a_node_that_leaves_while_the_storage_is_looked_at_is_not_held_against_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists = iter([NODES])  # and then the second is gone
    monkeypatch.setattr("tune.engine.marks.alive_nodes", lambda: next(lists, NODES[:1]))
    died = answering({"id1": None, "id2": "the node is dead"})
    monkeypatch.setattr("tune.engine.marks.ask_each", died)
    check_storage("memory://left")


def test_nodes_that_come_and_go_leave_each_answer_with_its_own_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune.engine.survey.start_ray", lambda: None)
    nodes = [{**node, "Resources": {}} for node in NODES]
    monkeypatch.setattr("tune.engine.survey.alive_nodes", lambda: nodes)

    def ask(question: Callable[..., object], *words: object, **named: object) -> list[Answer]:
        asked = named.get("nodes", nodes[:1])  # of its own accord it would look again
        return [Answer(name_of(node), question(*words)) for node in cast("list[Any]", asked)]

    monkeypatch.setattr("tune.engine.survey.ask_each", ask)
    found = survey(lambda _: "there", None, lambda: 1.0)
    assert [(one.name, one.value, one.clock) for one in found] == [
        (name_of(node), "there", 1.0) for node in nodes
    ]


def test_on_one_machine_a_function_is_called_here() -> None:
    assert where_trials_run(lambda first, second: (first, second), 1, 2, cpu=1) == (1, 2)


class ElsewhereError(Exception):
    """It is handed to Ray."""


@pytest.mark.parametrize(
    ("has", "gpu", "here"),
    [
        ({"CPU": 8.0}, 0.0, True),
        ({"CPU": 8.0}, 0.5, False),
        ({"CPU": 8.0, "GPU": 1.0}, 0.5, True),
        ({"CPU": 1.0, "GPU": 1.0}, 0.5, False),
        ({}, 0.0, False),
    ],
)
def test_a_head_that_is_left_alone_ends_a_search_only_if_a_trial_could_run_on_it(
    has: dict[str, float], gpu: float, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(**_: object) -> None:
        raise ElsewhereError

    monkeypatch.setattr("tune.engine.nodes.is_own", lambda: False)
    monkeypatch.setattr("tune.engine.nodes.alive_nodes", lambda: [{"Resources": has}])
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "remote", elsewhere)
    with nullcontext() if here else pytest.raises(ElsewhereError):
        assert where_trials_run(lambda: "here", cpu=2.0, gpu=gpu) == "here"
    monkeypatch.setattr("tune.engine.ending.hold", lambda _: "here")
    monkeypatch.setattr("tune.engine.ending.replace", lambda *_, **__: Mock())
    with nullcontext() if here else pytest.raises(ElsewhereError):
        assert hold_contest(Mock(), TrialResources(2, gpu, 1), print) == "here"


@pytest.fixture
def head() -> Iterator[Cluster]:
    """A head of Ray's own processes on which no trial may run."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.nightly
def test_a_head_that_runs_no_trials_waits_for_a_node_and_then_halts(
    head: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.engine.nodes._LOOK_SECONDS", 0.5)
    monkeypatch.setattr("tune.engine.nodes._ROOM_SECONDS", 2.0)
    said: list[str] = []
    with pytest.raises(Halt, match=r"no node has joined in 2 s .* give the same command again"):
        where_trials_run(platform.node, cpu=1, say=said.append)
    assert said == ["no node is left for a trial; one is waited for, 2 s long"]

    monkeypatch.setattr("tune.engine.nodes._ROOM_SECONDS", 600.0)
    joining = lambda _: head.add_node(num_cpus=1)  # noqa: E731
    assert where_trials_run(platform.node, cpu=1, say=joining) == platform.node()

    (able,) = [node for node in alive_nodes() if node["Resources"].get("CPU")]
    answers = ask_each(platform.node, nodes=[able], resources={"num_cpus": 1})
    assert answers == [Answer(name_of(able), platform.node())]


def test_a_node_is_waited_for_each_time_that_none_is_left_and_not_for_ever() -> None:
    there, now, said = True, 0.0, list[str]()
    nodes = AwaitedNodes(lambda: there, said.append, lambda: now)
    callback = LedgerCallback(*cast("Any", ({}, [], None)), TimeBudget(lambda: 9e9), nodes=nodes)

    def steps(*seconds: float) -> None:
        nonlocal now
        for each in seconds:
            now += each
            callback.on_step_end(0, [])

    steps(1000.0)
    there = False
    steps(1000.0, 500.0)
    there = True
    steps(99.0)
    there = False
    steps(1.0, 599.0)
    assert said == 2 * ["no node is left for a trial; one is waited for, 600 s long"]
    with pytest.raises(Halt, match=r"no node has joined in 600 s .* give the same command again"):
        steps(1.0)


@pytest.mark.nightly
def test_a_search_whose_nodes_have_all_left_says_so_and_halts(
    head: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tune.engine.resources._LOOK_SECONDS", 0.5)
    monkeypatch.setattr("tune.engine.nodes._ROOM_SECONDS", 3.0)
    worker, storage = head.add_node(num_cpus=1), tmp_path / "all"
    where = [f"tracking.storage={storage}", f"tracking.study=sqlite:///{tmp_path / 'study.db'}"]
    uri = f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}"
    config = load_config(DIGITS, [*SMALL, *where, uri, "train.epochs=50", "resources.gpu=0"])
    home, printed = folder_of("left", config.tracking), io.StringIO()

    def leave() -> None:
        wait_until(lambda: any(storage.glob("searches/left/trial-*/*.pt")))
        head.remove_node(worker)

    leaving = threading.Thread(target=leave)
    leaving.start()
    with pytest.raises(Halt, match=r"no node has joined in 3 s .* give the same command again"):
        start_search(config, home, Console(file=printed, width=200))
    leaving.join()
    home.release()
    told = "nodes    no node is left for a trial; one is waited for, 3 s long"
    assert printed.getvalue().count(told) == 1


@pytest.mark.nightly
def test_the_doctor_looks_at_nodes_together_as_a_search_does(head: Cluster, tmp_path: Path) -> None:
    head.add_node(num_cpus=1)
    config = load_config(DIGITS)
    question = Question(str(tmp_path), None, config.data, tmp_path / "cache")
    data, cache = config.data, config.cache.of_images
    alone = survey(describe, question, now)
    fingerprint, _ = own_images(config)
    found, findings = looked_at_together(alone, str(tmp_path), data, cache, fingerprint)
    assert (len(found), findings) == (2, [])
    assert {(one.error, one.unseen, one.images) for one in found} == {(None, None, None)}
    found, findings = looked_at_together(alone, None, data, cache, "another's")
    assert findings == []
    for one in found:  # of one name, here
        assert one.images is not None
        assert "these are not the images" in one.images


@pytest.mark.parametrize(
    ("words", "there", "cpus"),
    [
        (("resources.max_concurrent=1",), 8, 1),
        (("resources.max_concurrent=3", "resources.cpu=1.5"), 8, 5),
        (("resources.max_concurrent=9",), 8, None),
        (("resources.max_concurrent=1",), None, None),
        ((), 8, None),
    ],
)
def test_a_local_ray_keeps_no_more_workers_than_there_are_trials_at_once(
    words: tuple[str, ...], there: int | None, cpus: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads PyTorch into one for each of its CPUs."""
    asked: list[dict[str, object]] = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster, "cpus_of_machine", lambda: there)
    monkeypatch.setattr(cluster, "_own", [False])
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **settings: asked.append(settings))
    with ray_as_it_was():
        cluster.start_ray(load_config(None, words).resources)
    assert [settings["num_cpus"] for settings in asked] == [cpus]


def test_without_an_address_a_ray_that_others_have_started_here_is_not_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str | None] = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:6379")  # as `ray start` does
    assert canonicalize_bootstrap_address(None) is not None
    monkeypatch.setattr(cluster, "_own", [False])
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(
        ray, "init", lambda address, **_: found.append(canonicalize_bootstrap_address(address))
    )
    with ray_as_it_was():
        cluster.start_ray()
    assert found == [None]
