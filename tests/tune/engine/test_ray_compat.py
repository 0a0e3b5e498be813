from __future__ import annotations

import importlib
import mmap
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import ray
from ray._private import node as rays_node
from ray._private import ray_constants
from ray._private import utils as rays_utils
from ray.air import constants as ray_constants_of_results
from ray.tune.execution import class_cache, tune_controller
from ray.tune.experiment.trial import Trial, _TemporaryTrialState
from rich.console import Console

import tune
from tune.base.environment import LOOPBACK_ONLY
from tune.config.loading import load_config
from tune.engine import readiness, runner
from tune.engine.ray_compat import (
    _SIGNS_OF_LOSS,
    _SIGNS_OF_PRESSURE,
    ITERATION,
    Workers,
    _warn_once,
    could_not_fetch_data,
    cpus_of_machine,
    error_of,
    give_back,
    keep_to_loopback,
    killed_for_memory,
    lost_with_node,
    ray_as_it_was,
    use_waiting_workers,
    without_pages,
)

RAYS = "trainable.ray_trainable"
"""Imports Ray too."""


class WithoutGet:
    """What a later Ray may have under the same name."""


@pytest.mark.parametrize("change", ["no name", "another class"])
def test_without_rays_private_name_a_search_warns_once_and_goes_on(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if change == "no name":
        monkeypatch.delattr(tune_controller, "_ActorClassCache")
    else:
        monkeypatch.setattr(tune_controller, "_ActorClassCache", WithoutGet)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("start_ray", "fit_resources"):
        monkeypatch.setattr(readiness, name, lambda *_: None)
    monkeypatch.setattr(readiness, "is_own", lambda: True)
    with pytest.warns(UserWarning, match="starts trials more slowly") as told:
        readiness.prepare(load_config(None), Console(quiet=True))
    assert len(told) == 1
    assert getattr(tune_controller, "_ActorClassCache", WithoutGet) is WithoutGet


def test_with_it_trials_are_plain_actors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_controller, "_ActorClassCache", tune_controller._ActorClassCache)
    use_waiting_workers()
    made = tune_controller._ActorClassCache()
    actor = made.get(SimpleNamespace)
    assert actor._default_options.get("runtime_env") in (None, {})
    assert made.get(SimpleNamespace) is actor


def test_no_import_needs_a_private_name_of_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are taken away after Ray is imported, and before this package is."""
    monkeypatch.delattr(class_cache, "_ActorClassCache")
    monkeypatch.delattr(tune_controller, "_ActorClassCache")
    monkeypatch.setattr(tune, "engine", tune.engine)  # an import sets it
    with patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.startswith(("tune.engine", RAYS))]:
            del sys.modules[name]
        again = importlib.import_module("tune.engine.runner")
    assert again.start_search is not runner.start_search


@pytest.mark.parametrize("missing", ["nothing", "a name", "the module"])
def test_without_rays_private_names_it_starts_with_its_pages_and_a_warning(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "a name":
        monkeypatch.delattr(rays_node.Node, "start_log_monitor")
    if missing == "the module":
        monkeypatch.setitem(sys.modules, "ray._private.node", None)
    before = rays_node.Node.start_api_server
    warned = pytest.warns(UserWarning, match="starts more slowly: it has no start_")
    with nullcontext() if missing == "nothing" else warned, without_pages():
        is_as_it_was = rays_node.Node.start_api_server is before
    assert is_as_it_was == (missing != "nothing")
    assert rays_node.Node.start_api_server is before


@pytest.mark.parametrize("missing", ["the name", "the module"])
def test_where_ray_cannot_be_kept_to_loopback_it_is_told(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOOPBACK_ONLY, "0")
    if missing == "the name":
        monkeypatch.delattr(ray_constants, "ENABLE_RAY_CLUSTER")
    else:
        monkeypatch.setitem(sys.modules, "ray._private.ray_constants", None)
    with ray_as_it_was(), pytest.warns(UserWarning, match="may listen beyond loopback"):
        keep_to_loopback()


def test_without_rays_controller_it_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.tune.execution.tune_controller", None)
    with ray_as_it_was(), pytest.warns(UserWarning, match="starts trials more slowly"):
        use_waiting_workers()
    give_back(None)


@pytest.fixture
def not_warned_yet() -> Iterator[None]:
    _warn_once.cache_clear()
    yield
    _warn_once.cache_clear()


@pytest.mark.usefixtures("not_warned_yet")
@pytest.mark.parametrize(
    ("use", "words"),
    [
        (give_back, "may hold what it has of trials .* it has no cleanup"),
        (Workers().add, r"waits for a step .* it has no Trial\.temporary_state\.ray_actor"),
        (killed_for_memory, r"counts as failed: it has no Trial\.error_file"),
        (lost_with_node, r"counts as failed: it has no Trial\.error_file"),
        (could_not_fetch_data, r"counts as failed: it has no Trial\.error_file"),
        (error_of, r"counts as failed: it has no Trial\.error_file"),
    ],
)
def test_what_a_later_ray_lacks_is_said_once(use: Callable[[Any], object], words: str) -> None:
    with pytest.warns(UserWarning, match=words):
        assert use(SimpleNamespace()) in (None, False, "unknown error")
    use(SimpleNamespace())  # a second warning would be an error


@pytest.mark.usefixtures("not_warned_yet")
def test_of_a_trial_without_a_worker_or_an_error_nothing_is_said() -> None:
    trial: Any = SimpleNamespace(temporary_state=_TemporaryTrialState(), error_file=None)
    Workers().add(trial)
    assert error_of(trial) == "unknown error"
    assert hasattr(Trial, "error_file")


def test_loggers_find_an_epochs_number_where_ray_has_it() -> None:
    assert ray_constants_of_results.TRAINING_ITERATION == ITERATION


def test_the_reason_of_a_failure_is_its_last_line(tmp_path: Any) -> None:
    file = tmp_path / "error.txt"
    file.write_text("Failure # 1\nValueError: no\nFailure # 2\nTraceback\nOSError: full\n")
    assert error_of(SimpleNamespace(error_file=str(file))) == "OSError: full"
    file.write_text("Failure # 1\nray.exceptions.ActorDiedError: The actor died\n")
    died = error_of(SimpleNamespace(error_file=str(file)))
    assert died == "its worker died: killed, or out of memory"
    assert error_of(SimpleNamespace(error_file=None)) == "unknown error"


@pytest.mark.parametrize(
    ("program", "signs"),
    [("gcs/gcs_server", _SIGNS_OF_LOSS), ("raylet/raylet", _SIGNS_OF_PRESSURE)],
)
def test_this_ray_still_says_so_where_a_machine_is_lost_or_short_of_memory(
    program: str, signs: tuple[str, ...]
) -> None:
    path = Path(ray.__file__).parent / "core" / "src" / "ray" / program
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        assert [sign for sign in signs if text.find(sign.encode()) < 0] == []


def test_a_ray_that_was_imported_before_is_kept_to_loopback_and_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has read the variable by then, when it was not set."""
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    monkeypatch.setenv(LOOPBACK_ONLY, "0")
    with ray_as_it_was():
        keep_to_loopback()
        assert ray_constants.ENABLE_RAY_CLUSTER is False
    assert ray_constants.ENABLE_RAY_CLUSTER is True
    monkeypatch.setenv(LOOPBACK_ONLY, "1")  # as somebody wants it
    keep_to_loopback()
    assert ray_constants.ENABLE_RAY_CLUSTER is True


def test_the_cpus_of_a_machine_are_those_that_ray_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpus_of_machine() == int(rays_utils.get_num_cpus())
    monkeypatch.delattr(rays_utils, "get_num_cpus")
    assert cpus_of_machine() is None
