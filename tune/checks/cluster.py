"""What is wrong with the machines of a cluster, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tune.base.finding import Finding, State, gigabytes
from tune.checks.machine import GOOD_DISK, LEAST_DISK
from tune.checks.nodes import ABSENT, NodeFacts, versions

FAR_OFF: Final = 2.0
"""Seconds by which a clock may be wrong before it is worth a line."""
REFUSED: Final = 900.0
"""Seconds from which an S3 server refuses what a clock has signed."""


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
        unseen: Why it does not see the storage that the driver sees, if it does not.
        images: Why its images are not the driver's, if they are not.
    """

    name: str
    resources: Mapping[str, float]
    facts: NodeFacts | None
    error: str | None = None
    clock: float = 0.0
    own: Mapping[str, str] = field(default_factory=versions)
    unseen: str | None = None
    images: str | None = None

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
            there = ", ".join(f"{name} {self.own.get(name, ABSENT)}" for name in other)
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
        elif self.unseen is not None:
            message = f"does not see the storage that this machine sees: {self.unseen}"
            yield self._finding("fail", message, "mount the same folder there")
        if self.facts.tracking_error is not None:
            message = f"does not reach MLflow, as a driver there must: {self.facts.tracking_error}"
            yield self._finding("warn", message, "open the way, or start the driver elsewhere")
        if self.facts.data_error is not None and self.runs_trials:
            yield self._finding("fail", self.facts.data_error, "put the same images there")
        elif self.images is not None and self.runs_trials:
            yield self._finding("fail", self.images, "put the same there, byte for byte")


def row(node: ExaminedNode) -> tuple[str, ...]:
    """A node's line in a table, whose columns are :data:`COLUMNS`."""
    facts = node.facts
    resources = [f"{node.resources.get(name, 0.0):g}" for name in ("CPU", "GPU")]
    if facts is None:
        return (node.name, *resources, *[ABSENT] * (len(COLUMNS) - 4), node.state)
    way = ABSENT if facts.storage_seconds is None else f"{1000 * facts.storage_seconds:.0f} ms"
    return (
        node.name,
        *resources,
        *(facts.versions[name] for name in ("python", "torch", "ray")),
        f"{node.clock:.1f} s",
        gigabytes(facts.store_free),
        gigabytes(facts.disk_free),
        way if facts.storage_error is None and node.unseen is None else "no",
        "yes" if facts.tracking_error is None else "no",
        "yes" if facts.data_error is None and node.images is None else "no",
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
