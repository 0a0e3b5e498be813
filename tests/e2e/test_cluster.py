"""Searches on machines that share no file, of which some are lost, and servers that go away.

What machines that cannot do their work are told, and servers that are away for a minute, are of
`make nightly`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers.cluster import Cluster, own_cluster
from tests.helpers.commands import DIGITS, REPOSITORY, SMALL
from tests.helpers.machines import Machine
from tests.helpers.processes import run, wait_until
from trainable.files.remote import place_at

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

NAME, TRIALS, EPOCHS, MODEL = "night", 12, 4, "resnet18-digits"
SEARCH = (
    *(sys.executable, "-m", "tune.search", "--config", str(DIGITS), "--address=auto"),
    f"--num-samples={TRIALS}",
    *SMALL,
    "resources.max_concurrent=null",
    "data.limit=500",
    "data.image_size=32",
    "model.weights=bundled",
    "model.unfreeze_depth=1",
    f"train.epochs={EPOCHS}",
    "scheduler.name=fifo",
    "cache.enabled=false",
)
IMAGES = """
import random, sys, pathlib
from PIL import Image
draw = random.Random(int(sys.argv[1]))
for index in range(60):
    path = pathlib.Path("images", "ab"[index % 2], f"{index}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.frombytes("RGB", (16, 16), draw.randbytes(768)).save(path)
"""
"""Makes a folder of images that a seed decides."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with own_cluster(tmp_path) as made:
        yield made


@pytest.mark.slow
def test_a_search_outlives_its_machines_and_its_driver(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "werkzeug")
    head, first, second = _started(cluster)
    command = cluster.driver(*SEARCH, "--resume-or-start", NAME)
    with head.running(*command) as driver:
        wait_until(lambda: _all_have_begun(cluster), by=driver)
        reported, saved = cluster.under_way(NAME), _saved(caplog)
        second.kill()
        ended = cluster.states(NAME)[TrialState.COMPLETE]
        wait_until(lambda: cluster.states(NAME)[TrialState.COMPLETE] >= ended + 2, by=driver)
        cluster.worker(head)  # joins late, and is used
        wait_until(lambda: cluster.states(NAME)[TrialState.RUNNING] == 2, by=driver)
        assert cluster.states(NAME)[TrialState.COMPLETE] < TRIALS
        head.kill()
    first.kill()

    other = cluster.head(cpus=2)
    done = other.run(*command, limit=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed" in done.stdout
    _check_end(cluster, tmp_path)
    _check_no_epoch_twice(reported, saved, _saved(caplog))

    again = other.run(*command)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"search {NAME} is finished, with {TRIALS} trials" in again.stdout


@pytest.mark.nightly
def test_servers_may_be_away_for_a_minute(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "werkzeug")
    head, *_ = _started(cluster)
    command = cluster.driver(*SEARCH, "--resume-or-start", NAME)
    with head.running(*command) as driver:
        for server in (cluster.bucket, cluster.database):
            wait_until(lambda: _all_have_begun(cluster), by=driver)
            server.stop()
            time.sleep(60)
            server.start()
            assert driver.poll() is None
        _, errors = driver.communicate(timeout=600)
        assert driver.returncode == 0, errors
    _check_end(cluster, tmp_path)
    _check_no_epoch_twice({}, Counter(), _saved(caplog))


@pytest.mark.nightly
def test_the_doctor_asks_every_node(cluster: Cluster) -> None:
    head, *_ = _started(cluster)
    _check_doctor(cluster, head)
    _check_refusals(cluster, head)


def _started(cluster: Cluster) -> tuple[Machine, Machine, Machine]:
    """A head that runs no trials, and two workers."""
    head = cluster.head(cpus=0)
    return head, cluster.worker(head), cluster.worker(head)


def _check_doctor(cluster: Cluster, head: Machine) -> None:
    """Check that every node is asked, and that all is well there."""
    words = (sys.executable, "-m", "tune.doctor", "--cluster", "--json", "--address=auto")
    done = head.run(*cluster.driver(*words))
    found = json.loads(done.stdout)
    states = {node["name"]: node["state"] for node in found["nodes"]}
    assert done.returncode == 0, found["findings"]
    assert len(states) == 3
    assert all(node["facts"]["storage_seconds"] is not None for node in found["nodes"])
    assert {node["resources"].get("CPU", 0.0) for node in found["nodes"]} == {0.0, 1.0}


def _check_refusals(cluster: Cluster, head: Machine) -> None:
    """Check that a search is refused whose checkpoints or images the nodes do not all see."""
    started = (*SEARCH, "--name=refused")
    without = head.run(*cluster.driver(*started, storage=""))
    assert without.returncode == 2, without.stderr
    assert "this cluster has 3 nodes" in without.stderr
    alone = head.run(*cluster.driver(*started, storage=f"{head.folder}/alone"))
    assert alone.returncode == 2, alone.stderr
    assert "not every node can use it" in alone.stderr
    for machine in cluster.machines:
        assert (f"({machine.address})" in alone.stderr) == (machine is not head)
    own, same, other = cluster.machines
    for machine, seed in ((own, 0), (same, 0), (other, 1)):
        drawn = machine.run(sys.executable, "-c", IMAGES, str(seed))
        assert drawn.returncode == 0, drawn.stderr
    images = ("data.source=image_folder", f"data.root={head.folder}/desk/images")
    mixed = head.run(*cluster.driver(*started, *images))
    assert mixed.returncode == 2, mixed.stderr
    assert "not every node has the images of this search" in mixed.stderr
    for machine in cluster.machines:
        assert (f"({machine.address})" in mixed.stderr) == (machine is other)


def _all_have_begun(cluster: Cluster) -> bool:
    """Whether two trials run, and have an epoch each."""
    epochs = cluster.under_way(NAME).values()
    return len(epochs) == 2 and all(epochs)


def _saved(log: pytest.LogCaptureFixture) -> Counter[int]:
    """How often each trial has saved its state, which it does once an epoch."""
    lines = [each.getMessage() for each in log.records if each.name == "werkzeug"]
    pattern = re.compile(rf"PUT /\S+/{NAME}/trial-(\d+)/last\.pt\S* HTTP")
    return Counter(int(found[1]) for line in lines if (found := pattern.search(line)))


def _check_no_epoch_twice(
    reported: dict[int, int], before: Counter[int], after: Counter[int]
) -> None:
    """Check that trials whose machines were lost have trained what they lacked, and no more."""
    assert set(after) == set(range(TRIALS))
    assert min(after.values()) >= EPOCHS
    for trial, epochs in reported.items():
        assert after[trial] - before[trial] <= EPOCHS - epochs, f"trial {trial} began anew"


def _check_end(cluster: Cluster, tmp_path: Path) -> None:
    """Check every count, where checkpoints are, and the model."""
    assert cluster.states(NAME) == {TrialState.COMPLETE: TRIALS}
    client = MlflowClient(cluster.record.uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    kinds = Counter(run.data.tags["tune.kind"] for run in runs)
    assert kinds == {"search": 1, "trial": TRIALS}
    assert {run.info.status for run in runs} == {"FINISHED"}
    for trial in cluster.trials(NAME):
        assert len(trial.intermediate_values) == EPOCHS

    files = place_at(f"{cluster.storage}/searches/{NAME}")
    assert files.exists("report.html")
    (version,) = client.search_model_versions(f"name = '{MODEL}'")
    assert client.get_model_version_by_alias(MODEL, "champion").version == version.version
    best, trials = int(version.tags["tune.best_trial"]), cluster.trials(NAME)
    assert trials[best].value == max(trial.value or 0.0 for trial in trials)
    left = {
        name: place_at(f"{files.folder}/{name}").names("*.pt") for name in files.folders("trial-*")
    }
    assert {name: kept for name, kept in left.items() if kept} == {f"trial-{best:03d}": ["best.pt"]}
    _check_prediction(cluster, tmp_path)


def _check_prediction(cluster: Cluster, tmp_path: Path) -> None:
    """Check that the champion, loaded through the server, labels digits right."""
    digits = load_digits()
    paths = []
    for index in range(20):
        pixels = (digits.images[index] * (255 / 16)).round().astype("uint8")
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).convert("RGB").save(paths[-1])
    words = [sys.executable, "-m", "tune.predict", "--json", f"--model=models:/{MODEL}@champion"]
    path = os.pathsep.join([str(REPOSITORY), cluster.environment["PYTHONPATH"]])
    environment = {**os.environ, **cluster.environment, "PYTHONPATH": path}
    done = run([*words, *paths], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line)["label"] for line in done.stdout.splitlines()]
    right = sum(label == str(digits.target[index]) for index, label in enumerate(found))
    assert right >= 14
