"""A cluster of machines of their own, with the servers that they know by their addresses."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import optuna
import psycopg
from optuna.trial import FrozenTrial, TrialState

from tests.helpers.buckets import S3, s3
from tests.helpers.commands import REPOSITORY
from tests.helpers.machines import Machine, Network, network
from tests.helpers.postgres import Postgres, postgres
from tests.helpers.processes import run
from tests.helpers.servers import Server

BIN = Path(sys.executable).parent
_WHERE = """
import sys
from importlib.util import find_spec
for spec in filter(None, map(find_spec, sys.argv[1:])):
    print(*spec.submodule_search_locations, sep="\\n")
"""


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
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": other_paths(),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "of-the-cluster-and-no-other-0123456789",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # or whatever else runs here would come first
            **self.bucket.environment,
            "TUNE_STUDY": self.database.url,
            "MLFLOW_TRACKING_URI": self.record.uri,
        }

    def machine(self, *words: str, code: Path | None = None) -> Machine:
        """One that has joined the cluster, or started it, on which this package is not installed.

        Args:
            words: How Ray is started there.
            code: What lies there for drivers.
        """
        given = (self.environment, code, installed())
        machine = self.stack.enter_context(self.network.machine(*given))
        assert machine.run(sys.executable, "-c", "import tune.search").returncode != 0
        own = f"--node-ip-address={machine.address}"
        machine.start(str(BIN / "ray"), "start", own, *words)
        self.machines.append(machine)
        return machine

    def head(self, cpus: int) -> Machine:
        """One that starts the cluster, and has the code for drivers."""
        words = ("--head", "--port=6379", "--include-dashboard=false", f"--num-cpus={cpus}")
        return self.machine(*words, code=REPOSITORY)

    def worker(self, head: Machine) -> Machine:
        return self.machine(f"--address={head.address}:6379", "--num-cpus=1")

    def driver(self, *words: str, storage: str | None = None) -> tuple[str, ...]:
        """A command as a user types it on a head, with this repository's code."""
        code = self.machines[0].folder / "code"  # of any: they have their files at one path
        path = os.pathsep.join([str(code), self.environment["PYTHONPATH"]])
        given = [f"TUNE_STORAGE={self.storage if storage is None else storage}"]
        return ("env", f"PYTHONPATH={path}", *given, *words)

    def trials(self, name: str) -> list[FrozenTrial]:
        """The trials of a search; none where it has no study yet."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with suppress(KeyError):
            return optuna.load_study(study_name=name, storage=self.database.url).get_trials()
        return []

    def states(self, name: str) -> Counter[TrialState]:
        """How many of them are in each state."""
        return Counter(trial.state for trial in self.trials(name))

    def epochs(self, name: str) -> int:
        """How many epochs they have reported."""
        return sum(len(trial.intermediate_values) for trial in self.trials(name))

    def under_way(self, name: str) -> dict[int, int]:
        """How many epochs each trial that runs has reported."""
        running = (each for each in self.trials(name) if each.state is TrialState.RUNNING)
        return {trial.number: len(trial.intermediate_values) for trial in running}


def other_paths() -> str:
    """`PYTHONPATH` without this repository."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(path for path in paths if path and Path(path) != REPOSITORY)


@cache
def installed() -> tuple[Path, ...]:
    """Where Python finds this package without the repository: an editable install leads to one."""
    script = [sys.executable, "-c", _WHERE, "trainable", "tune"]
    environment = {**os.environ, "PYTHONPATH": other_paths()}
    done = run(script, cwd="/", env=environment)
    assert done.returncode == 0, done.stderr
    return tuple(map(Path, done.stdout.splitlines()))


@contextmanager
def own_cluster(folder: Path) -> Iterator[Cluster]:
    """Servers that run, and no machines yet; where none can be made it is as with a network."""
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
        record = stack.enter_context(Server(folder, *words, host=wires.host))
        yield Cluster(wires, bucket, database, record, stack)
