"""The machines of a Ray cluster: what is asked of each, and what runs where a trial would."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune.base.errors import Halt, first_line
from tune.engine.cluster import is_own
from tune.study.search import OWN_STUDY

_SECONDS: Final = 120.0
"""How long the nodes have to answer; a worker's first start takes a while."""
_TRIES: Final = 3
_ROOM_SECONDS: Final = 600.0
"""How long a search waits for a node, where all on which trials run have left."""
_LOOK_SECONDS: Final = 5.0
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
    resources: Mapping[str, float] = MappingProxyType({"num_cpus": 0}),
) -> list[Answer]:
    """Call a function on each node, at once.

    Args:
        question: A function of a module that the nodes have.
        words: What it is called with.
        seconds: How long all of them have.
        nodes: Those that are asked; by default all.
        ends_processes: Whether the process that answers ends then, with what it has loaded.
        resources: What it takes up there, as Ray names it; by default nothing.
    """
    nodes = alive_nodes() if nodes is None else nodes
    task = ray.remote(max_calls=int(ends_processes))(question)
    asked = [
        task.options(
            max_retries=0,
            **resources,
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
    """Whether this process is the driver of a cluster on whose other machines trials run.

    They may have left: a head that runs no trials is one of several though it is alone.
    """
    if is_own() or not ray.is_initialized():
        return False
    nodes = alive_nodes()
    return len(nodes) > 1 or not any(node["Resources"].get("CPU", 0.0) for node in nodes)


def trials_run_here(cpu: float, gpu: float) -> bool:
    """Whether this machine is the only one, and has what a trial needs.

    Args:
        cpu: The CPUs of a trial.
        gpu: Its GPUs, or its share of one.
    """
    if is_own() or not ray.is_initialized():
        return True
    nodes = alive_nodes()
    return len(nodes) == 1 and _has_room(nodes[0], {"CPU": cpu, "GPU": gpu})


def where_trials_run(
    function: Callable[..., _Result],
    *words: Any,
    cpu: float,
    gpu: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
) -> _Result:
    """What a function returns on a node on which a trial would run; begun again where one is lost.

    In this process where Ray has this machine alone, and a trial could run on it: it is that node.
    Where all such nodes have left, one is waited for.

    Args:
        function: A function of a module that the nodes have.
        words: What it is called with.
        cpu: The CPUs of a trial.
        gpu: Its GPUs, or its share of one.
        say: Says that a node is waited for.

    Raises:
        Halt: None has come.
    """
    if trials_run_here(cpu, gpu):
        return function(*words)
    # The process ends with its call, and with it what it holds of a GPU.
    settings = {"num_cpus": cpu, "num_gpus": gpu, "max_retries": _TRIES, "max_calls": 1}
    reference = ray.remote(**settings)(function).remote(*words)
    needs = {"CPU": cpu, "GPU": gpu}
    nodes = AwaitedNodes(lambda: any(_has_room(node, needs) for node in alive_nodes()), say)
    try:
        while not ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
            nodes.check()
    except Halt:
        ray.cancel(reference, force=True)
        raise
    return cast("_Result", ray.get(reference))


class AwaitedNodes:
    """Waits for a node where none is left on which a trial could run, and halts after a while.

    Args:
        are_there: Whether there is such a node, however busy.
        say: Says that one is waited for, once each time that there is none.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self,
        are_there: Callable[[], bool],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._are_there, self._say, self._clock = are_there, say, clock
        self._since: float | None = None

    def check(self) -> None:
        """Look whether there is one.

        Raises:
            Halt: There has been none for too long.
        """
        if self._are_there():
            self._since = None
            return
        if self._since is None:
            self._since = self._clock()
            self._say(f"no node is left for a trial; one is waited for, {_ROOM_SECONDS:g} s long")
        if self._clock() - self._since >= _ROOM_SECONDS:
            raise Halt(
                f"no node has joined in {_ROOM_SECONDS:g} s on which a trial could run; when one "
                "has, give the same command again"
            )


def _has_room(node: Mapping[str, Any], needs: Mapping[str, float]) -> bool:
    return all(node["Resources"].get(name, 0.0) >= needed for name, needed in needs.items())


def _answer(node: str, reference: Any, seconds: float, *, has_answered: bool) -> Answer:
    if not has_answered:
        ray.cancel(reference, force=True)
        return Answer(node, error=f"no answer in {seconds:g} s")
    try:
        return Answer(node, ray.get(reference, timeout=1))
    except (RayError, GetTimeoutError) as error:
        cause = getattr(error, "cause", None) or error
        return Answer(node, error=first_line(cause))


def says_where(study: str | None) -> str | None:
    """A remark on a search that can only go on from this machine, though others could."""
    if (study or OWN_STUDY).partition(":")[0] != "sqlite":
        return None
    return (
        "lies in a file of this machine: only from here can the search go on; TUNE_STUDY="
        "postgresql+psycopg://... is for all"
    )
