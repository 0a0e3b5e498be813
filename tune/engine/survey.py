"""A question to every node of a cluster, and what its clock says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainable.config import DataConfig
from trainable.runtime import ImageCache
from tune.base.errors import ConfigError
from tune.base.finding import Finding
from tune.engine.cluster import start_ray
from tune.engine.marks import why_unseen
from tune.engine.node_images import ask_for_images
from tune.engine.nodes import alive_nodes, ask_each, name_of


@dataclass(frozen=True)
class Surveyed:
    """A node's answer.

    Attributes:
        name: Its name and address.
        resources: What Ray may place there.
        value: What it has answered; None where there is an error.
        error: Why it has not.
        clock: The seconds since 1970 there.
        between: The seconds since 1970 here, before and after its clock was read.
        unseen: Why it does not see the storage that the driver sees, if it does not.
        images: Why its images are not the driver's, if they are not.
    """

    name: str
    resources: Mapping[str, float]
    value: Any
    error: str | None
    clock: float
    between: tuple[float, float]
    unseen: str | None = None
    images: str | None = None


def looked_at_together(
    nodes: Sequence[Surveyed],
    storage: str | None,
    data: DataConfig,
    cache: ImageCache,
    fingerprint: str | None,
) -> tuple[list[Surveyed], list[Finding]]:
    """The nodes with what a search checks before its start: one storage, and the same images.

    And what is wrong where the driver itself cannot use the storage.

    Args:
        nodes: As they answered for themselves.
        storage: Where checkpoints are to lie, if that is named.
        data: The images of a search.
        cache: Where they are kept once they are decoded.
        fingerprint: That of the driver's images; None where it cannot read them.
    """
    unseen, findings = _look_at_storage(storage)
    images = {
        answer.node: answer.error or answer.value
        for answer in ask_for_images(data, cache, fingerprint)
    }
    looked_at = [
        replace(node, unseen=unseen.get(node.name), images=images.get(node.name)) for node in nodes
    ]
    return looked_at, findings


def _look_at_storage(storage: str | None) -> tuple[dict[str, str], list[Finding]]:
    if storage is None:
        return {}, []
    try:
        return why_unseen(storage), []
    except ConfigError as error:
        fix = "AWS_ENDPOINT_URL_S3 and credentials on this machine, or mount the folder"
        return {}, [Finding("storage", "fail", f"on this machine, {error}", fix)]


def survey(
    describe: Callable[..., Any], question: object, now: Callable[[], float]
) -> list[Surveyed]:
    """Ask every node of the cluster that `RAY_ADDRESS` names.

    Args:
        describe: Called there with the question.
        question: What is asked.
        now: Called there for the time, when a worker has started and answers at once.

    Raises:
        ConfigError: There is no cluster.
    """
    start_ray()
    nodes = alive_nodes()
    answers = ask_each(describe, question, nodes=nodes)
    ask_each(now, nodes=nodes)
    before = time.time()
    clocks = ask_each(now, nodes=nodes)
    between = before, time.time()
    return [
        Surveyed(
            name=name_of(node),
            resources=node["Resources"],
            value=answer.value,
            error=answer.error,
            clock=clock.value if clock.error is None else before,
            between=between,
        )
        for node, answer, clock in zip(nodes, answers, clocks, strict=True)
    ]
