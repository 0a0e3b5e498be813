"""Whether all machines of a cluster see one storage: each shows it by a mark."""

from __future__ import annotations

import platform
import uuid
from typing import Final

import ray

from trainable.files.remote import below, place_at
from tune.base.errors import ConfigError, first_line
from tune.engine.nodes import alive_nodes, ask_each
from tune.study.shared import unusable_storage

_PATIENCE: Final = 15.0
_MARKS: Final = "nodes"
"""The folder of a storage in which nodes show that they see it."""


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
    if storage is None:
        if len(nodes := alive_nodes()) > 1:
            raise ConfigError(
                f"this cluster has {len(nodes)} nodes, and checkpoints would lie in a folder of "
                "this machine: give --storage s3://BUCKET/PREFIX, or a folder that all of them see"
            )
        return
    if why := why_unseen(storage):
        named = "; ".join(f"{node}: {reason}" for node, reason in sorted(why.items()))
        raise ConfigError(
            f"--storage {storage}: not every node can use it ({named}); give one that all of them "
            "see, and each its credentials"
        )


def why_unseen(storage: str) -> dict[str, str]:
    """Why nodes do not see the storage that this machine sees, by their names; empty where all do.

    One that has left meanwhile is not among them.

    Raises:
        ConfigError: This machine cannot use it.
    """
    nodes, mark = alive_nodes(), uuid.uuid4().hex
    try:
        place = place_at(below(storage, _MARKS), patience=_PATIENCE)
        place.write(mark, b"")
        answers = ask_each(sees_mark, storage, mark, nodes=nodes)
        found = set(place.names(f"{mark}*"))
    except (OSError, ValueError, ImportError) as error:
        raise unusable_storage(storage, error) from error
    finally:
        _clear(storage, mark)
    still, why = {node["NodeID"] for node in alive_nodes()}, {}
    for node, answer in zip(nodes, answers, strict=True):
        reason = answer.error or answer.value
        if reason is None and f"{mark}-{node['NodeID']}" not in found:
            reason = "what it wrote there cannot be seen from this machine"
        if reason is not None and node["NodeID"] in still:
            why[answer.node] = reason
    return why


def _clear(storage: str, mark: str) -> None:
    place = place_at(below(storage, _MARKS), patience=0.0)
    try:
        place.delete(*place.names(f"{mark}*"))
    except (OSError, ValueError, ImportError):
        return
