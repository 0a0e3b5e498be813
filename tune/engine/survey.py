"""A question to every node of a cluster, and what its clock says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tune.engine.cluster import start_ray
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
    """

    name: str
    resources: Mapping[str, float]
    value: Any
    error: str | None
    clock: float
    between: tuple[float, float]


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
    answers = ask_each(describe, question)
    ask_each(now)
    before = time.time()
    clocks = ask_each(now)
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
