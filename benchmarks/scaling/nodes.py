"""How busy a search keeps the nodes of a cluster, whose trials sleep through their epochs."""

from __future__ import annotations

import io
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster
from rich.console import Console
from sqlalchemy.engine import make_url

import tune.engine.trials
from scaling import sleeping
from scaling.driver import grow, search_of
from tune.engine.cluster import start_ray
from tune.engine.resources import TrialResources
from tune.engine.stopping import TimeBudget
from tune.strategy.choice import Choice
from tune.strategy.portfolio import open_search
from tune.strategy.scheduling import build_scheduler
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.trial import TrialLog
from tune.tracking.writer import RecordWriter

MOST = 100_000
PATIENCE = 120.0
"""Seconds after which slots that have no trial yet count as idle."""

cloudpickle.register_pickle_by_value(sleeping)  # its nodes have no benchmarks


@dataclass(frozen=True)
class Scale:
    """What all clusters share: one search, which goes on from one to the next.

    Attributes:
        study: The URL of its study's storage.
        tracking: The address of its record.
        sampler: What proposes its trials.
        folder: Where its files are.
    """

    study: str
    tracking: str
    sampler: str
    folder: Path

    @property
    def name(self) -> str:
        """The search's name."""
        return f"scale-nodes-{os.getpid()}"

    def search(self, size: int, sampler: str) -> Search:
        """The search, of so many trials."""
        search = search_of(self.study, self.name, size, sampler)
        tracking = search.config.tracking.model_copy(update={"uri": self.tracking})
        config = search.config.model_copy(update={"tracking": tracking})
        return search.model_copy(update={"config": config})


@dataclass(frozen=True)
class Load:
    """What each cluster has to do.

    Attributes:
        slots: The trials of a node at once.
        epoch_seconds: How long an epoch takes.
        seconds: How long is measured, from when each slot has had a trial.
        trials: The number of trials after which the search ends; None where `seconds` end it.
    """

    slots: int
    epoch_seconds: float
    seconds: float
    trials: int | None


def measured_on(
    scale: Scale, nodes: Sequence[int], grown: int, load: Load
) -> Iterator[dict[str, float]]:
    """Let a search of sleeping trials go on, on clusters of several sizes; a row for each."""
    if grown:
        grow(scale.study, scale.name, grown, "random", scale.folder, {})
    search = scale.search(load.trials or MOST, scale.sampler)
    ledger = open_search(search)
    writer = RecordWriter(search, cast("Ledger", Since(ledger)))
    for count in nodes:
        with _cluster(count, load.slots):
            yield _run(search, ledger, writer, scale, count, load)
    start = time.perf_counter()
    writer.finish()
    print(f"the record was complete {time.perf_counter() - start:.1f} s later", flush=True)


class Since:
    """A ledger as the record sees it: without the trials that were simulated before."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._before = ledger, set(ledger.trials)

    @property
    def trials(self) -> dict[int, TrialLog]:
        """Those of now."""
        found = list(self._ledger.trials.items())
        return {number: log for number, log in found if number not in self._before}

    def __getattr__(self, name: str) -> Any:
        """All else is the ledger's."""
        return getattr(self._ledger, name)


@contextmanager
def _cluster(nodes: int, slots: int) -> Iterator[None]:
    """A head without CPUs for trials, and nodes that have one for each slot."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=slots)
        cluster.wait_for_nodes()
        os.environ["RAY_ADDRESS"] = cluster.address
        start_ray()
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()
        del os.environ["RAY_ADDRESS"]


class Watching:
    """Notes when all slots have a trial, and hands the record what has changed."""

    def __init__(self, slots: int, record: RecordWriter) -> None:
        self._slots, self._record = slots, record
        self._running, self.most = set[int](), 0
        self.since, self._start = math.inf, time.time()

    def changed(self, trial: TrialLog) -> None:
        """A trial has started, has reported or has ended."""
        self._record.changed(trial)
        if trial.state.is_finished():
            self._running.discard(trial.number)
        else:
            self._running.add(trial.number)
        self.most = max(self.most, len(self._running))
        has_waited = time.time() > self._start + PATIENCE
        if self.since == math.inf and (self.most == self._slots or has_waited):
            self.since = time.time()


def _run(
    search: Search, ledger: Ledger, writer: RecordWriter, scale: Scale, nodes: int, load: Load
) -> dict[str, float]:
    """Let the search go on, and say how busy it kept the nodes and the driver."""
    slots, before = nodes * load.slots, set(ledger.trials)
    home = SearchFolder(scale.name, scale.folder)
    shutil.rmtree(home.folder, ignore_errors=True)
    home.folder.mkdir(parents=True)
    watching = Watching(slots, writer)

    def left() -> float:
        if load.trials is not None or watching.since == math.inf:
            return math.inf
        return watching.since + load.seconds - time.time()

    begun = _times(ledger)
    start, cpu, commits = time.time(), time.thread_time(), _commits(scale.study)
    sleeping.Sleeping.epoch_seconds = load.epoch_seconds
    tune.engine.trials.FineTuneTrainable = sleeping.Sleeping  # type: ignore[attr-defined]
    tune.engine.trials.run_trials(
        ledger,
        build_scheduler(search.config),
        TimeBudget(left),
        choice=Choice.of(search),
        home=home,
        resources=TrialResources(1, 0, slots),
        fingerprint="",
        weights_hash=None,
        search=search.identity,
        record=watching,
        console=Console(file=io.StringIO()),
        elapsed=lambda: 0.0,
    )
    end, cpu = time.time(), time.thread_time() - cpu
    until = begun[-1][0] if load.trials is not None else watching.since + load.seconds
    new = [log for log in ledger.trials.values() if log.number not in before]
    epochs = sum(len(log.epochs) for log in new)
    busy, window = sleeping.slept(home.folder, watching.since, until), until - watching.since
    written = {k: v - commits.get(k, 0) for k, v in _commits(scale.study).items()}
    return {
        "nodes": nodes,
        "slots": slots,
        "trials": len(new),
        "of_trials": len(ledger.trials),
        "results": epochs,
        "starting_s": round(watching.since - start, 1),
        "window_s": round(window, 1),
        "most_at_once": watching.most,
        "utilisation": round(busy / (slots * window), 4),
        "results_a_s": round(epochs / (end - start), 2),
        "driver_cpu": round(cpu / (end - start), 3),
        "proposal_ms": round(1000 * sum(took for _, took in begun) / len(begun), 1),
        **{f"commits_a_s_{name}": round(n / (end - start), 1) for name, n in written.items()},
    }


def _times(ledger: Ledger) -> list[tuple[float, float]]:
    """When each trial is begun, and how many seconds that takes: filled as it happens."""
    begin, found = type(ledger).begin, list[tuple[float, float]]()

    def timed() -> TrialLog:
        start = time.time()
        log = begin(ledger)
        found.append((time.time(), time.time() - start))
        return log

    ledger.begin = timed  # type: ignore[method-assign]
    return found


def _commits(study: str) -> dict[str, int]:
    """The transactions that a PostgreSQL server has carried out, by their database."""
    url = make_url(study)
    if url.get_backend_name() != "postgresql":
        return {}
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT datname, xact_commit FROM pg_stat_database WHERE datname NOT LIKE 'template%'"
        ).fetchall()
    return {str(name): int(count) for name, count in rows if name is not None}
