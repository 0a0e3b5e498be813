"""A search on machines that share no file: one is lost, then the driver, and another ends it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import psycopg
import pytest
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers.buckets import S3, s3
from tests.helpers.commands import DIGITS, REPOSITORY, SMALL
from tests.helpers.machines import Machine, Network, network
from tests.helpers.postgres import Postgres, postgres
from tests.helpers.processes import run, wait_until
from tests.helpers.servers import Server
from trainable.files.remote import place_at

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1500)]

NAME, TRIALS, MODEL = "night", 12, "resnet18-digits"
BIN = Path(sys.executable).parent
SEARCH = (
    *(sys.executable, "-m", "tune.search", "--config", str(DIGITS), "--address=auto"),
    f"--num-samples={TRIALS}",
    *SMALL,
    "data.limit=null",
    "data.image_size=32",
    "model.unfreeze_depth=5",
    "train.epochs=4",
    "scheduler.name=fifo",
    "cache.enabled=false",
)


@dataclass
class Cluster:
    """The servers that all machines know by their addresses, and the machines."""

    network: Network
    bucket: S3
    database: Postgres
    record: Server
    stack: ExitStack
    machines: list[Machine] = field(default_factory=list)

    @property
    def storage(self) -> str:
        return f"{self.bucket.address}/searches"

    @property
    def environment(self) -> dict[str, str]:
        """What a node has, and nothing of this repository: the driver brings its code."""
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(p for p in paths if p and Path(p) != REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "of-the-cluster-and-no-other-0123456789",
            "RAY_USAGE_STATS_ENABLED": "0",
            **self.bucket.environment,
            "TUNE_STUDY": self.database.url,
            "MLFLOW_TRACKING_URI": self.record.uri,
        }

    def machine(self, *words: str) -> Machine:
        """One that has joined the cluster, or started it."""
        machine = self.stack.enter_context(self.network.machine(self.environment))
        own = f"--node-ip-address={machine.address}"
        machine.start(str(BIN / "ray"), "start", own, *words)
        self.machines.append(machine)
        return machine

    def head(self, cpus: int) -> Machine:
        return self.machine(
            "--head", "--port=6379", "--include-dashboard=false", f"--num-cpus={cpus}"
        )

    def worker(self, head: Machine) -> Machine:
        return self.machine(f"--address={head.address}:6379", "--num-cpus=1")

    def driver(self, *words: str, storage: str | None = None) -> tuple[str, ...]:
        """A command as a user types it on a node, with this repository's code."""
        path = os.pathsep.join([str(REPOSITORY), self.environment["PYTHONPATH"]])
        given = [f"TUNE_STORAGE={self.storage if storage is None else storage}"]
        return ("env", f"PYTHONPATH={path}", *given, *words)

    @property
    def trials(self) -> list[FrozenTrial]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with suppress(KeyError):
            return optuna.load_study(study_name=NAME, storage=self.database.url).get_trials()
        return []

    @property
    def states(self) -> Counter[TrialState]:
        return Counter(trial.state for trial in self.trials)

    @property
    def epochs(self) -> int:
        return sum(len(trial.intermediate_values) for trial in self.trials)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        wires = stack.enter_context(network())
        bucket = stack.enter_context(s3(wires.host))
        database = stack.enter_context(postgres(host=wires.host))
        with psycopg.connect(
            f"postgresql://tune@{wires.host}:{database.port}/postgres", autocommit=True
        ) as connection:
            connection.execute("CREATE DATABASE mlflow")
        words = (
            f"--backend-store-uri={database.url.removesuffix('postgres')}mlflow",
            f"--artifacts-destination={bucket.address}/models",
        )
        record = stack.enter_context(Server(tmp_path, *words, host=wires.host))
        yield Cluster(wires, bucket, database, record, stack)


def test_a_search_outlives_its_machines_and_its_driver(cluster: Cluster, tmp_path: Path) -> None:
    head = cluster.head(cpus=0)
    first, second = cluster.worker(head), cluster.worker(head)

    _check_doctor(cluster, head)
    _check_refusals(cluster, head)

    command = cluster.driver(*SEARCH, "--resume-or-start", NAME)
    with head.running(*command) as driver:
        wait_until(lambda: cluster.states[TrialState.RUNNING] == 2, by=driver)
        wait_until(lambda: cluster.epochs >= 3, by=driver)
        cluster.bucket.stop()
        time.sleep(5)
        cluster.bucket.start()
        assert driver.poll() is None
        second.kill()
        ended = cluster.states[TrialState.COMPLETE]
        wait_until(lambda: cluster.states[TrialState.COMPLETE] >= ended + 2, by=driver)
        cluster.worker(head)  # joins late, and is used
        wait_until(lambda: cluster.states[TrialState.RUNNING] == 2, by=driver)
        assert cluster.states[TrialState.COMPLETE] < TRIALS
        head.kill()
    first.kill()

    other = cluster.head(cpus=2)
    done = other.run(*command, limit=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed" in done.stdout
    _check_end(cluster, tmp_path)

    again = other.run(*command)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"search {NAME} is finished, with {TRIALS} trials" in again.stdout


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
    """Check that a search is refused whose checkpoints the nodes would not all see."""
    started = (*SEARCH, "--name=refused")
    without = head.run(*cluster.driver(*started, storage=""))
    assert without.returncode == 2, without.stderr
    assert "this cluster has 3 nodes" in without.stderr
    alone = head.run(*cluster.driver(*started, storage=f"{head.folder}/alone"))
    assert alone.returncode == 2, alone.stderr
    assert "not every node can use it" in alone.stderr
    for machine in cluster.machines:
        assert (f"({machine.address})" in alone.stderr) == (machine is not head)


def _check_end(cluster: Cluster, tmp_path: Path) -> None:
    """Check every count, where checkpoints are, and the model."""
    assert cluster.states == {TrialState.COMPLETE: TRIALS}
    client = MlflowClient(cluster.record.uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    kinds = Counter(run.data.tags["tune.kind"] for run in runs)
    assert kinds == {"search": 1, "trial": TRIALS}
    assert {run.info.status for run in runs} == {"FINISHED"}
    for trial in cluster.trials:
        assert len(trial.intermediate_values) == 4

    files = place_at(f"{cluster.storage}/searches/{NAME}")
    assert files.exists("report.html")
    (version,) = client.search_model_versions(f"name = '{MODEL}'")
    assert client.get_model_version_by_alias(MODEL, "champion").version == version.version
    best = int(version.tags["tune.best_trial"])
    assert cluster.trials[best].value == max(trial.value or 0.0 for trial in cluster.trials)
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
