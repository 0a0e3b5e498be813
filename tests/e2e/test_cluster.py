"""Searches on machines without a file in common, of which some are lost, and servers that go away.

What machines that cannot do their work are told, and servers that are away for a minute, are of
`make nightly`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
        losses = [_before_a_loss(cluster, driver, caplog)]
        second.kill()
        ended = cluster.states(NAME)[TrialState.COMPLETE]
        wait_until(lambda: cluster.states(NAME)[TrialState.COMPLETE] > ended, by=driver)
        late = cluster.worker(head)
        wait_until(lambda: late.address in _savers(caplog), by=driver)
        losses.append(_before_a_loss(cluster, driver, caplog))
        head.kill()
    for worker in (first, late):
        worker.kill()
    assert cluster.states(NAME)[TrialState.COMPLETE] < TRIALS

    other = cluster.head(cpus=2)
    done = other.run(*command, limit=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed" in done.stdout
    _check_end(cluster, tmp_path)
    _check_no_epoch_twice(losses, _saved(caplog))

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
    losses = []
    with head.running(*command) as driver:
        for server in (cluster.bucket, cluster.database):
            losses.append(_before_a_loss(cluster, driver, caplog))
            server.stop()
            time.sleep(60)
            server.start()
            assert driver.poll() is None
        _, errors = driver.communicate(timeout=600)
        assert driver.returncode == 0, errors
    _check_end(cluster, tmp_path)
    _check_no_epoch_twice(losses, _saved(caplog))


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


@dataclass(frozen=True)
class Loss:
    """What there was just before something was lost.

    Attributes:
        reported: How many epochs each trial that ran had reported.
        saved: How often each trial had saved its state.
    """

    reported: dict[int, int]
    saved: Counter[int]


def _before_a_loss(
    cluster: Cluster, driver: subprocess.Popen[str], log: pytest.LogCaptureFixture
) -> Loss:
    """What there is once two trials run that have reported an epoch."""
    wait_until(lambda: _all_have_begun(cluster), by=driver)
    reported = cluster.under_way(NAME)  # first: what is saved meanwhile has been trained before
    return Loss(reported, _saved(log))


def _all_have_begun(cluster: Cluster) -> bool:
    """Whether two trials run, and have an epoch each."""
    epochs = cluster.under_way(NAME).values()
    return len(epochs) == 2 and all(epochs)


def _saves(log: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """From which address which trial has saved its state, each time that it has."""
    lines = [each.getMessage() for each in log.records if each.name == "werkzeug"]
    pattern = re.compile(rf"^(\S+) .*PUT /\S+/{NAME}/trial-(\d+)/last\.pt\S* HTTP")
    found = [match for line in lines if (match := pattern.search(line))]
    return [(match[1], int(match[2])) for match in found]


def _savers(log: pytest.LogCaptureFixture) -> set[str]:
    """The addresses of the machines on which trials have ended an epoch."""
    return {address for address, _ in _saves(log)}


def _saved(log: pytest.LogCaptureFixture) -> Counter[int]:
    """How often each trial has saved its state, which it does once an epoch."""
    return Counter(trial for _, trial in _saves(log))


def _check_no_epoch_twice(losses: Sequence[Loss], after: Counter[int]) -> None:
    """Check that trials that ran at a loss have trained what they lacked, and no more."""
    assert set(after) == set(range(TRIALS))
    assert min(after.values()) >= EPOCHS
    for loss in losses:
        for trial, epochs in loss.reported.items():
            trained = after[trial] - loss.saved[trial]
            assert trained <= EPOCHS - epochs, f"trial {trial} has trained epochs again"


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
