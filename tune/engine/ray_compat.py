"""Ray's private parts: where a later Ray lacks one, a warning says what is lost by it.

Most cost time alone. Without `Trial.error_file` it cannot be seen that a trial was killed for
memory, or has lost its machine: such a trial counts as one that fails by itself.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import ray
from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback

from trainable.data.forms.remote import DataAwayError
from tune.base.environment import LOOPBACK_ONLY

_CONTROLLER: Final = "ray.tune.execution.tune_controller"
_CONSTANTS: Final = "ray._private.ray_constants"
_CLUSTERS: Final = "ENABLE_RAY_CLUSTER"
_NODE: Final = "ray._private.node"
_UTILS: Final = "ray._private.utils"
ITERATION: Final = "training_iteration"
"""The key of a result under which Ray's loggers find the number of an epoch."""
_NAME: Final = "_ActorClassCache"
_PENDING: Final = 100_000
"""More trials than any cluster runs at once."""
_WRITER: Final = "_summary_writer_cls"
_SIGNS_OF_PRESSURE: Final = ("running low on memory", "address the out of memory issue")
"""In Ray's messages, and in none of PyTorch's or the system's about one process."""
_SIGNS_OF_LOSS: Final = ("its node has died", "node was preempted", "node was terminated")
"""In Ray's messages about an actor whose node is gone."""


class DriverOnly:
    """Something of the driver's that Ray need not pickle.

    Ray pickles a tuner with all its parts, for a restore of its own. That snapshot is not
    used here, since the study's storage is the truth: in it stands an empty object.
    """

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class WaitingWorkers:
    """Makes actors that start in the workers that a local Ray keeps waiting, with PyTorch loaded.

    Ray takes those only for actors with no environment variables of their own. Ray Tune gives
    a trial some: one for PyTorch Lightning, and a few that it copies from the driver, whose
    environment a local Ray's workers have inherited anyway.
    """

    def __init__(self) -> None:
        self._actors: dict[type, Any] = {}

    def get(self, trainable_cls: type) -> Any:
        """The class as a Ray actor."""
        if trainable_cls not in self._actors:
            self._actors[trainable_cls] = ray.remote(trainable_cls)
        return self._actors[trainable_cls]


def _module(name: str) -> Any:
    """One of Ray's own modules; None where this Ray has none of this name."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


@functools.cache
def _warn_once(name: str, consequence: str) -> None:
    """Warn that this Ray lacks a name, the first time that it is looked for in vain."""
    reason = f"it has no {name} as this package knows it"
    warnings.warn(f"this Ray ({ray.__version__}) {consequence}: {reason}", stacklevel=3)


def use_waiting_workers() -> None:
    """Have Ray Tune make its actors by :class:`WaitingWorkers`, if its own class is where it was.

    Otherwise each trial starts a new worker, which takes seconds, and a warning says so.
    """
    try:
        controller = importlib.import_module(_CONTROLLER)
        unknown = {"get"} - set(vars(getattr(controller, _NAME)))
    except (ImportError, AttributeError) as error:
        unknown = {str(error)}
    if unknown:
        reason = f"it has no {_NAME} as this package knows it ({', '.join(unknown)})"
        warnings.warn(
            f"this Ray ({ray.__version__}) starts trials more slowly: {reason}", stacklevel=2
        )
        return
    setattr(controller, _NAME, WaitingWorkers)


def keep_to_loopback() -> None:
    """Have a local Ray listen on loopback alone, also where it was imported before it was said so.

    Ray reads the variable when it is imported, and a caller may have imported it.
    """
    if os.environ.get(LOOPBACK_ONLY) != "0":
        return
    constants = _module(_CONSTANTS)
    if hasattr(constants, _CLUSTERS):
        setattr(constants, _CLUSTERS, False)
    else:
        warnings.warn(
            f"this Ray ({ray.__version__}) has no {_CLUSTERS} as this package knows it: where it "
            f"was imported before {LOOPBACK_ONLY}=0 was set, it may listen beyond loopback",
            stacklevel=2,
        )


def cpus_of_machine() -> int | None:
    """The CPUs that a local Ray would find here, in a container its share; None if unknown."""
    count = getattr(_module(_UTILS), "get_num_cpus", None)
    return None if count is None else int(count())


@contextmanager
def without_pages() -> Iterator[None]:
    """Have the local Ray that starts in this block run no process that nobody looks at.

    Those are the server of its dashboard, which starts even where there is no dashboard, the reader
    of its workers' logs, the monitor of its autoscaler, and most of the agent that a node has for
    them. Each imports Ray, and Ray waits for the first: that is seconds of every start.
    """
    node, utils = getattr(_module(_NODE), "Node", None), _module(_UTILS)
    idle = [
        (node, "start_api_server", _serve_nothing),
        (node, "start_log_monitor", lambda _: None),
        (node, "start_monitor", lambda _: None),
        (utils, "get_dashboard_dependency_error", lambda: ImportError("it is not wanted")),
    ]
    if unknown := [name for where, name, _ in idle if not hasattr(where, name)]:
        reason = f"it has no {', '.join(unknown)} as this package knows it"
        warnings.warn(f"this Ray ({ray.__version__}) starts more slowly: {reason}", stacklevel=2)
        yield
        return
    before = [getattr(where, name) for where, name, _ in idle]
    for where, name, instead in idle:
        setattr(where, name, instead)
    try:
        yield
    finally:
        for (where, name, _), value in zip(idle, before, strict=True):
            setattr(where, name, value)


def _serve_nothing(node: Any, **_: Any) -> None:
    node._webui_url = ""  # as Ray has it where there is no dashboard


@contextmanager
def ray_as_it_was() -> Iterator[None]:
    """Undo :func:`use_waiting_workers` and :func:`keep_to_loopback` at the end of the block."""
    changed = [(_module(_CONTROLLER), _NAME), (_module(_CONSTANTS), _CLUSTERS)]
    before = [getattr(module, name, None) for module, name in changed]
    try:
        yield
    finally:
        for (module, name), value in zip(changed, before, strict=True):
            if value is not None:
                setattr(module, name, value)


def start_all_pending(controller: Any) -> None:
    """Have Ray Tune start a worker for each trial that it is given, and not one after the other.

    Its own limit is for searchers that propose more trials than there is room for.

    Args:
        controller: Ray Tune's own, as schedulers are called with it.
    """
    own = getattr(controller, "_tune_controller", controller)  # the other warns about other names
    update = getattr(own, "update_max_pending_trials", None)
    if update is None:
        reason = "it has no update_max_pending_trials as this package knows it"
        warnings.warn(
            f"this Ray ({ray.__version__}) fills a cluster more slowly: {reason}", stacklevel=2
        )
        return
    update(_PENDING)


def give_back(controller: Any) -> None:
    """Have Ray Tune give back what it holds for trials, as it does where an Exception ends it.

    Args:
        controller: Ray Tune's own, which schedulers are called with; None if none was.
    """
    if controller is None:
        return
    clean = getattr(controller, "cleanup", None)
    if clean is None:
        _warn_once("cleanup", "may hold what it has of trials until this process ends")
        return
    clean()


class Workers:
    """The processes that Ray's trials run in, to be killed: Ray waits for the end of their step."""

    def __init__(self) -> None:
        self._actors: list[Any] = []

    def add(self, trial: Trial) -> None:
        """Note a trial's worker, if this Ray says which it is."""
        state: Any = getattr(trial, "temporary_state", None)
        if not hasattr(state, "ray_actor"):
            _warn_once(
                "Trial.temporary_state.ray_actor", "waits for a step where a search is stopped"
            )
            return
        actor = state.ray_actor
        if actor is not None and actor not in self._actors:
            self._actors.append(actor)

    def kill(self) -> None:
        """End all that were noted, whatever they do: their checkpoints are whole at any time."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors.clear()


def write_events_to(logger: TBXLoggerCallback, folder: Path) -> None:
    """Have Ray's TensorBoard logger write a folder for each trial in this one.

    Its own are among Ray's files, which are deleted when a search ends.
    """
    write = getattr(logger, _WRITER, None)
    if write is None:
        reason = f"it has no {_WRITER} as this package knows it"
        warnings.warn(
            f"this Ray ({ray.__version__}) leaves nothing for TensorBoard: {reason}", stacklevel=2
        )
        return

    def in_folder(path: str, **more: Any) -> Any:
        return write(str(folder / Path(path).name), **more)

    setattr(logger, _WRITER, in_folder)


def killed_for_memory(trial: Trial) -> bool:
    """Whether Ray has killed a trial's worker because the machine was short of memory."""
    return is_of_memory(_last_error(trial))


def lost_with_node(trial: Trial) -> bool:
    """Whether a trial's worker is gone because its machine is: switched off, or preempted."""
    return any(sign in _last_error(trial) for sign in _SIGNS_OF_LOSS)


def could_not_fetch_data(trial: Trial) -> bool:
    """Whether the server did not answer to a trial's machine where the images lie elsewhere."""
    return DataAwayError.__name__ in _last_error(trial)


def is_of_memory(error: object) -> bool:
    """Whether an error of Ray's says that it killed workers for lack of memory."""
    return any(sign in str(error) for sign in _SIGNS_OF_PRESSURE)


def _last_error(trial: Trial) -> str:
    # Not trial.get_error(), whose file in the experiment's storage comes later.
    if not hasattr(trial, "error_file"):
        _warn_once(
            "Trial.error_file",
            "does not say why a trial ended, so that one which was killed for memory, or has lost "
            "its machine, counts as failed",
        )
        return ""
    path = trial.error_file
    return Path(path).read_text().rpartition("Failure # ")[2] if path else ""


def error_of(trial: Trial) -> str:
    """The reason why a trial failed, in a line."""
    lines = _last_error(trial).strip().splitlines()
    if any("ActorDiedError" in line or "The actor died" in line for line in lines):
        return "its worker died: killed, or out of memory"
    return lines[-1][:500] if lines else "unknown error"
