"""The machines of a cluster: what each has and sees, and what would stop a trial there."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import fsspec

from trainable.config import DataConfig
from trainable.files.places import why_not_writable
from trainable.files.remote import below, place_at
from trainable.store.arrays import default_root
from tune.base.errors import ConfigError, first_line
from tune.base.finding import Finding, State, gigabytes
from tune.checks.machine import GOOD_DISK, LEAST_DISK
from tune.tracking.server import check_tracking

PACKAGES: Final = ("torch", "torchvision", "ray", "numpy", "pydantic", "fsspec", "s3fs")
"""What a trial is made of, and so is to be alike."""
FAR_OFF: Final = 2.0
"""Seconds by which a clock may be wrong before it is worth a line."""
REFUSED: Final = 900.0
"""Seconds from which an S3 server refuses what a clock has signed."""
_PATIENCE: Final = 10.0
_ABSENT: Final = "-"


@dataclass(frozen=True)
class Question:
    """What is asked of each node.

    Attributes:
        storage: Where checkpoints are to lie, if that is named.
        tracking: The address of MLflow's server, if there is one.
        data: The images of a search.
        cache: The folder of the store, if a config names it.
    """

    storage: str | None
    tracking: str | None
    data: DataConfig
    cache: Path | None = None


@dataclass(frozen=True)
class NodeFacts:
    """What a node has answered. Of what it cannot do, the reason in a line.

    Attributes:
        host: Its own name.
        versions: Of Python and of each package; `-` where it is not installed.
        store: The folder of its store.
        store_free: Bytes that are free there.
        store_error: Why nothing can be written there.
        disk_free: Bytes that are free where Ray writes.
        storage_seconds: How long a small file took to be written and read back.
        storage_error: Why that failed.
        tracking_error: Why MLflow's server cannot be used.
        data_error: Why the images are not there.
    """

    host: str
    versions: Mapping[str, str]
    store: str
    store_free: int
    store_error: str | None
    disk_free: int
    storage_seconds: float | None
    storage_error: str | None
    tracking_error: str | None
    data_error: str | None


def describe(question: Question) -> NodeFacts:
    """The facts of the machine that this runs on."""
    store = question.cache or default_root()
    seconds, storage_error = _tried(question.storage)
    return NodeFacts(
        host=platform.node(),
        versions=versions(),
        store=str(store),
        store_free=_free(store),
        store_error=why_not_writable(store / "entry"),
        disk_free=_free(Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir()))),
        storage_seconds=seconds,
        storage_error=storage_error,
        tracking_error=_why_untracked(question.tracking),
        data_error=_why_no_data(question.data),
    )


def now() -> float:
    """The seconds since 1970 by this machine's clock."""
    return time.time()


def versions() -> dict[str, str]:
    """The versions of what a trial is made of."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = _ABSENT
    return found


def skew(there: float, before: float, after: float) -> float:
    """By how many seconds at least a clock is wrong that was read between two readings of this."""
    return max(0.0, there - after, before - there)


def _tried(storage: str | None) -> tuple[float | None, str | None]:
    if storage is None:
        return None, None
    place, name = (
        place_at(below(storage, "nodes"), patience=_PATIENCE),
        f"doctor-{uuid.uuid4().hex}",
    )
    start = time.perf_counter()
    try:
        place.write(name, b"there")
        content = place.read(name)
        seconds = time.perf_counter() - start
        place.delete(name)
    except (OSError, ValueError, ImportError) as error:
        return None, first_line(error)
    return seconds, None if content == b"there" else "what was written there is read otherwise"


def _why_untracked(uri: str | None) -> str | None:
    if uri is None or not uri.startswith(("http://", "https://")):
        return None
    try:
        check_tracking(uri)
    except ConfigError as error:
        return str(error)
    return None


def _why_no_data(config: DataConfig) -> str | None:
    root = config.root
    if root is None:
        return None
    try:
        files, path = fsspec.core.url_to_fs(str(root))
        return None if files.exists(path) else f"data.root={root}: it is not there"
    except Exception as error:  # noqa: BLE001 - each file system has errors of its own
        return f"data.root={root} cannot be reached: {first_line(error)}"


def _free(folder: Path) -> int:
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


@dataclass(frozen=True)
class ExaminedNode:
    """A node, with what Ray and it say of it.

    Attributes:
        name: Its name and address.
        resources: What Ray may place there: CPUs, GPUs.
        facts: What it has answered, if it has.
        error: Why it has not.
        clock: By how many seconds at least its clock differs from the driver's.
        own: The driver's versions.
    """

    name: str
    resources: Mapping[str, float]
    facts: NodeFacts | None
    error: str | None = None
    clock: float = 0.0
    own: Mapping[str, str] = field(default_factory=versions)

    @property
    def runs_trials(self) -> bool:
        """Whether trials may run there."""
        return self.resources.get("CPU", 0.0) > 0

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with it; nothing where all is well."""
        if self.facts is None:
            fix = "see ray status, and the logs in /tmp/ray/session_latest/logs there"
            return [self._finding("fail", f"does not answer: {self.error}", fix)]
        return [*self._of_versions(self.facts), *self._of_disks(self.facts), *self._of_ways()]

    @property
    def state(self) -> State:
        """The worst of its findings."""
        states = {finding.state for finding in self.findings}
        return next((state for state in ("fail", "warn") if state in states), "ok")

    def _finding(self, state: State, message: str, fix: str) -> Finding:
        return Finding(f"node {self.name}", state, message, fix)

    def _of_versions(self, facts: NodeFacts) -> Iterator[Finding]:
        other = {name: each for name, each in facts.versions.items() if each != self.own.get(name)}
        if other:
            shown = ", ".join(f"{name} {each}" for name, each in other.items())
            there = ", ".join(f"{name} {self.own.get(name, _ABSENT)}" for name in other)
            message = f"has {shown}, and the driver {there}: their metrics may differ"
            yield self._finding("warn", message, "the same image on all, or requirements.lock")
        if self.clock > FAR_OFF:
            state: State = "fail" if self.clock > REFUSED else "warn"
            message = f"its clock is {self.clock:.0f} s off the driver's, at least"
            yield self._finding(state, message, "timedatectl set-ntp true there")

    def _of_disks(self, facts: NodeFacts) -> Iterator[Finding]:
        if facts.store_error is not None:
            message = f"its store {facts.store} cannot be written: {facts.store_error}"
            yield self._finding("warn", message, "export TUNE_CACHE=FOLDER there")
        for what, free in (("its store", facts.store_free), ("Ray's folder", facts.disk_free)):
            if free < GOOD_DISK:
                state: State = "fail" if free < LEAST_DISK else "warn"
                message = f"has {gigabytes(free)} free for {what}"
                yield self._finding(state, message, f"free {gigabytes(GOOD_DISK)} there")

    def _of_ways(self) -> Iterator[Finding]:
        assert self.facts is not None
        if self.facts.storage_error is not None:
            message = f"cannot use the storage: {self.facts.storage_error}"
            fix = "AWS_ENDPOINT_URL_S3 and credentials there, or mount the folder"
            yield self._finding("fail", message, fix)
        if self.facts.tracking_error is not None:
            message = f"does not reach MLflow, as a driver there must: {self.facts.tracking_error}"
            yield self._finding("warn", message, "open the way, or start the driver elsewhere")
        if self.facts.data_error is not None and self.runs_trials:
            yield self._finding("fail", self.facts.data_error, "put the same images there")


def row(node: ExaminedNode) -> tuple[str, ...]:
    """A node's line in a table, whose columns are :data:`COLUMNS`."""
    facts = node.facts
    resources = [f"{node.resources.get(name, 0.0):g}" for name in ("CPU", "GPU")]
    if facts is None:
        return (node.name, *resources, *[_ABSENT] * (len(COLUMNS) - 4), node.state)
    way = _ABSENT if facts.storage_seconds is None else f"{1000 * facts.storage_seconds:.0f} ms"
    return (
        node.name,
        *resources,
        *(facts.versions[name] for name in ("python", "torch", "ray")),
        f"{node.clock:.1f} s",
        gigabytes(facts.store_free),
        gigabytes(facts.disk_free),
        way if facts.storage_error is None else "no",
        "yes" if facts.tracking_error is None else "no",
        "yes" if facts.data_error is None else "no",
        node.state,
    )


COLUMNS: Final = (
    *("node", "CPUs", "GPUs", "Python", "torch", "ray", "clock off"),
    *("store free", "disk free", "storage", "MLflow", "data", "state"),
)


def check_alike(nodes: Sequence[ExaminedNode]) -> Iterator[Finding]:
    """Whether the nodes together can run trials."""
    able = [node for node in nodes if node.runs_trials and node.state != "fail"]
    count = f"{len(nodes)} nodes, {len(able)} of them for trials"
    if not able:
        yield Finding("cluster", "fail", count, "join one: ray start --address=HEAD:6379")
    else:
        cpus = sum(node.resources.get("CPU", 0.0) for node in able)
        gpus = sum(node.resources.get("GPU", 0.0) for node in able)
        yield Finding("cluster", "ok", f"{count}, with {cpus:g} CPUs and {gpus:g} GPUs")
