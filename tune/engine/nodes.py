"""The machines of a Ray cluster: what is asked of each, and whether all see one storage."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainable.files.remote import below, place_at
from tune.base.errors import ConfigError, first_line
from tune.engine.cluster import is_own
from tune.study.search import OWN_STUDY
from tune.study.shared import unusable_storage

_SECONDS: Final = 120.0
"""How long the nodes have to answer; a worker's first start takes a while."""
_PATIENCE: Final = 15.0
_TRIES: Final = 3
_MARKS: Final = "nodes"
"""The folder of a storage in which nodes show that they see it."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Answer:
    """What a node has answered.

    Attributes:
        node: The node's name and address.
        value: What the question returned there; None where there is an error.
        error: Why there is no answer, in a line.
    """

    node: str
    value: Any = None
    error: str | None = None


def alive_nodes() -> list[dict[str, Any]]:
    """The nodes that are there, as Ray describes them, in the order of their addresses."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    return sorted(alive, key=lambda node: (str(node["NodeManagerAddress"]), str(node["NodeID"])))


def name_of(node: dict[str, Any]) -> str:
    """What a node is called in messages."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def ask_each(
    question: Callable[..., Any],
    *words: Any,
    seconds: float = _SECONDS,
    nodes: Sequence[dict[str, Any]] | None = None,
    ends_processes: bool = False,
) -> list[Answer]:
    """Call a function on each node, at once, where it takes up no CPU.

    Args:
        question: A function of a module that the nodes have.
        words: What it is called with.
        seconds: How long all of them have.
        nodes: Those that are asked; by default all.
        ends_processes: Whether the process that answers ends then, with what it has loaded.
    """
    nodes = alive_nodes() if nodes is None else nodes
    task = ray.remote(max_calls=int(ends_processes))(question)
    asked = [
        task.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(*words)
        for node in nodes
    ]
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=seconds)
    return [
        _answer(name_of(node), reference, seconds, has_answered=reference in answered)
        for node, reference in zip(nodes, asked, strict=True)
    ]


def is_one_of_several() -> bool:
    """Whether this process is the driver of a cluster that has other machines too."""
    return not is_own() and ray.is_initialized() and len(alive_nodes()) > 1


def where_trials_run(
    function: Callable[..., _Result], *words: Any, cpu: float, gpu: float = 0.0
) -> _Result:
    """What a function returns on a node on which a trial would run; begun again where one is lost.

    In this process where Ray has this machine alone: it is that node.

    Args:
        function: A function of a module that the nodes have.
        words: What it is called with.
        cpu: The CPUs of a trial.
        gpu: Its GPUs, or its share of one.
    """
    if not is_one_of_several():
        return function(*words)
    # The process ends with its call, and with it what it holds of a GPU.
    settings = {"num_cpus": cpu, "num_gpus": gpu, "max_retries": _TRIES, "max_calls": 1}
    task = ray.remote(**settings)(function)
    return ray.get(task.remote(*words))


def _answer(node: str, reference: Any, seconds: float, *, has_answered: bool) -> Answer:
    if not has_answered:
        ray.cancel(reference, force=True)
        return Answer(node, error=f"no answer in {seconds:g} s")
    try:
        return Answer(node, ray.get(reference, timeout=1))
    except (RayError, GetTimeoutError) as error:
        cause = getattr(error, "cause", None) or error
        return Answer(node, error=first_line(cause))


def sees_mark(storage: str, mark: str) -> str | None:
    """Why this node does not see a file that the driver has written to a storage, if it does not.

    Where it does, it writes one of its own, which the driver reads back.
    """
    place = place_at(below(storage, _MARKS), patience=_PATIENCE)
    try:
        if not place.exists(mark):
            return "what the driver wrote there cannot be seen from it"
        place.write(_own(mark), platform.node().encode())
    except (OSError, ValueError, ImportError) as error:
        return first_line(error)
    return None


def _own(mark: str) -> str:
    return f"{mark}-{ray.get_runtime_context().get_node_id()}"


def check_storage(storage: str | None) -> None:
    """Check that every node can read and write where checkpoints are to lie.

    Raises:
        ConfigError: There are several nodes and no storage, or one of them does not see it.
    """
    nodes = alive_nodes()
    if storage is None:
        if len(nodes) > 1:
            raise ConfigError(
                f"this cluster has {len(nodes)} nodes, and checkpoints would lie in a folder of "
                "this machine: give --storage s3://BUCKET/PREFIX, or a folder that all of them see"
            )
        return
    mark = uuid.uuid4().hex
    place = place_at(below(storage, _MARKS), patience=_PATIENCE)
    try:
        place.write(mark, b"")
        answers = ask_each(sees_mark, storage, mark)
        found = set(place.names(f"{mark}*"))
        _refuse(storage, answers, {f"{mark}-{node['NodeID']}" for node in nodes} - found, nodes)
    except (OSError, ImportError) as error:
        raise unusable_storage(storage, error) from error
    finally:
        _clear(storage, mark)


def _refuse(
    storage: str, answers: Sequence[Answer], unseen: set[str], nodes: Sequence[dict[str, Any]]
) -> None:
    why = {each.node: each.error or each.value for each in answers if each.error or each.value}
    for node in nodes:
        if any(mark.endswith(node["NodeID"]) for mark in unseen):
            why.setdefault(name_of(node), "what it wrote there cannot be seen from this machine")
    if why:
        named = "; ".join(f"{node}: {reason}" for node, reason in sorted(why.items()))
        raise ConfigError(
            f"--storage {storage}: not every node can use it ({named}); give one that all of them "
            "see, and each its credentials"
        )


def _clear(storage: str, mark: str) -> None:
    place = place_at(below(storage, _MARKS), patience=0.0)
    try:
        place.delete(*place.names(f"{mark}*"))
    except (OSError, ImportError):
        return


def says_where(study: str | None) -> str | None:
    """A remark on a search that can only go on from this machine, though others could."""
    if (study or OWN_STUDY).partition(":")[0] != "sqlite":
        return None
    return (
        "lies in a file of this machine: only from here can the search go on; TUNE_STUDY="
        "postgresql+psycopg://... is for all"
    )
