"""What is said of the nodes of a cluster; tests/e2e/test_cluster.py asks real ones."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.doors import invoke
from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.files.remote import place_at
from tune.checks.cluster import COLUMNS, ExaminedNode, check_alike, row
from tune.checks.nodes import NodeFacts, Question, describe, own_images, skew, versions
from tune.config.loading import load_config
from tune.engine.survey import Surveyed

GOOD = NodeFacts(
    host="node-1",
    versions=versions(),
    store="/cache",
    store_free=10**12,
    store_error=None,
    disk_free=10**12,
    storage_seconds=0.0123,
    storage_error=None,
    tracking_error=None,
    data_error=None,
)
NODE = ExaminedNode("node-1 (10.0.0.1)", {"CPU": 4.0, "GPU": 1.0}, GOOD)


def test_a_node_on_which_all_is_well_has_a_line_and_no_finding() -> None:
    assert (NODE.findings, NODE.state) == ([], "ok")
    shown = dict(zip(COLUMNS, row(NODE), strict=True))
    assert (shown["CPUs"], shown["GPUs"], shown["storage"]) == ("4", "1", "12 ms")
    assert (shown["MLflow"], shown["data"], shown["state"]) == ("yes", "yes", "ok")


@pytest.mark.parametrize(
    ("changed", "state", "words"),
    [
        ({"versions": {**versions(), "torch": "1.0"}}, "warn", "has torch 1.0, and the driver"),
        ({"store_error": "it is a folder"}, "warn", "its store /cache cannot be written"),
        ({"store_free": 10**6}, "fail", "free for its store"),
        ({"disk_free": 10**6}, "fail", "free for Ray's folder"),
        ({"storage_error": "Forbidden"}, "fail", "cannot use the storage: Forbidden"),
        ({"tracking_error": "no answer"}, "warn", "does not reach MLflow"),
        ({"data_error": "data.root=/data: no such folder"}, "fail", "data.root=/data"),
    ],
)
def test_what_is_wrong_is_named_with_its_cure(
    changed: dict[str, object], state: str, words: str
) -> None:
    node = replace(NODE, facts=replace(GOOD, **changed))
    (finding,) = node.findings
    assert (finding.name, finding.state, node.state) == ("node node-1 (10.0.0.1)", state, state)
    assert words in finding.message
    assert finding.fix


@pytest.mark.parametrize(
    ("changed", "column", "words"),
    [
        ({"unseen": "what the driver wrote there cannot be seen from it"}, "storage", "the driver"),
        ({"images": "these are not the images"}, "data", "these are not the images"),
    ],
)
def test_what_only_machines_together_show_is_wrong_with_a_node_too(
    changed: dict[str, str], column: str, words: str
) -> None:
    node = replace(NODE, **changed)
    (finding,) = node.findings
    assert (finding.state, node.state) == ("fail", "fail")
    assert words in finding.message
    assert dict(zip(COLUMNS, row(node), strict=True))[column] == "no"


def test_the_drivers_own_images_are_those_that_the_others_are_compared_with(tmp_path: Path) -> None:
    fingerprint, findings = own_images(load_config(DIGITS))
    assert (fingerprint, findings) == (load_dataset(load_config(DIGITS).data).fingerprint, [])
    none = load_config(None, ["data.source=image_folder", f"data.root={tmp_path / 'none'}"])
    fingerprint, (finding,) = own_images(none)
    assert (fingerprint, finding.state) == (None, "fail")
    assert "the driver cannot read them: data.root=" in finding.message


def test_a_head_without_trials_needs_no_data() -> None:
    head = replace(NODE, resources={"memory": 1.0}, facts=replace(GOOD, data_error="none"))
    assert head.findings == []
    assert [each.state for each in check_alike([head])] == ["fail"]
    assert [each.message for each in check_alike([head, NODE])] == [
        "2 nodes, 1 of them for trials, with 4 CPUs and 1 GPUs"
    ]


def test_a_node_that_does_not_answer_fails_and_has_a_line_all_the_same() -> None:
    node = replace(NODE, facts=None, error="no answer in 120 s")
    (finding,) = node.findings
    assert (finding.state, finding.message) == ("fail", "does not answer: no answer in 120 s")
    assert len(row(node)) == len(COLUMNS)


@pytest.mark.parametrize(
    ("there", "off", "state"), [(100.4, 0.0, "ok"), (105.0, 4.0, "warn"), (-2000.0, 2100, "fail")]
)
def test_a_clock_is_off_by_what_is_sure(there: float, off: float, state: str) -> None:
    found = skew(there, before=100.0, after=101.0)
    assert found == off
    assert replace(NODE, clock=found).state == state


def test_a_machine_describes_itself(tmp_path: Path) -> None:
    storage = f"memory://{uuid.uuid4().hex}"
    data = DataConfig(source="image_folder", root=tmp_path / "none")
    facts = describe(Question(storage, "http://127.0.0.1:1", data, tmp_path))
    assert facts.versions["torch"] == versions()["torch"]
    assert facts.storage_seconds is not None
    assert facts.storage_error is facts.store_error is None
    assert facts.tracking_error is not None
    assert facts.data_error == f"data.root={tmp_path / 'none'}: it is not there"
    assert facts.store_free > 0
    assert place_at(f"{storage}/nodes").names() == []
    url = f"{storage}/photos"
    remote = describe(Question(None, None, DataConfig(source="image_folder", root=url), tmp_path))
    assert remote.data_error == f"data.root={url}: it is not there"
    without = describe(Question(None, None, DataConfig(), tmp_path))
    assert without.storage_seconds is without.tracking_error is without.data_error is None


def test_a_storage_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    facts = describe(Question(str(tmp_path / "file"), None, DataConfig(), tmp_path))
    assert facts.storage_seconds is None
    assert facts.storage_error


def test_no_password_of_a_storage_leaves_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "sftp://user:secret@host/searches"

    class Away:
        def write(self, *_: object) -> None:
            raise OSError(f"{address} is out of reach")

    monkeypatch.setattr("tune.checks.nodes.place_at", lambda *_, **__: Away())
    facts = describe(Question(address, None, DataConfig(), tmp_path))
    assert facts.storage_error == "sftp://user:***@host/searches is out of reach"


def test_no_password_of_a_node_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = "s3://user:secret@bucket is out of reach"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1")
    one = Surveyed("node-1 (10.0.0.1)", {"CPU": 4.0}, None, error, 0.0, (0.0, 0.0))
    monkeypatch.setattr("tune.engine.survey.survey", lambda *_: [one])
    monkeypatch.setattr("tune.engine.survey.looked_at_together", lambda *_: ([one], []))
    for words in ((), ("--json",)):
        done = invoke("tune.doctor", "--cluster", "--address=10.0.0.1", *words, cwd=tmp_path)
        assert "user:***@bucket is out of reach" in done.stdout
        assert "secret" not in done.stdout + done.stderr


def test_the_table_is_printed_where_the_driver_alone_cannot_use_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")  # in the storage's place on this machine
    one = Surveyed("node-1 (10.0.0.1)", {"CPU": 4.0}, GOOD, None, 0.0, (0.0, 0.0))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1")
    monkeypatch.setattr("tune.engine.survey.survey", lambda *_: [one])
    monkeypatch.setattr("tune.engine.survey.ask_for_images", lambda *_: [])
    monkeypatch.setattr("tune.engine.marks.alive_nodes", list)
    words = ("--cluster", "--address=10.0.0.1", f"tracking.storage={tmp_path / 'file'}")
    done = invoke("tune.doctor", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if one.name in line]
    assert line.split()[-1] == "ok"
    assert "on this machine, tracking.storage=" in done.stdout
    assert "1 nodes, 1 of them for trials" in done.stdout


def test_no_cluster_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = invoke("tune.doctor", "--cluster", cwd=tmp_path)
    assert done.returncode == 2
    assert "--cluster: name one by --address HOST, or by RAY_ADDRESS" in done.stderr
