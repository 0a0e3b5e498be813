from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
import ray
from mlflow import MlflowClient
from rich.console import Console

from tests.helpers.commands import DIGITS, SMALL
from tune.base.environment import prepare_environment
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.config.sections import ResourcesConfig
from tune.engine.resources import Capacity, await_nodes, fit_resources
from tune.engine.runner import start_search
from tune.study.folder import SearchFolder


@pytest.fixture(scope="module")
def one_gpu() -> Iterator[None]:
    """A local cluster that believes it has eight CPUs and a GPU."""
    prepare_environment()
    ray.init(num_cpus=8, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("one_gpu")
@pytest.mark.parametrize(
    ("cpu", "gpu", "concurrent"),
    [(1, 0.25, 4), (1, 0.3, 3), (1, 1, 1), (1, 0, 8), (4, 0.25, 2), (0.5, 0, 16)],
)
def test_as_many_trials_run_at_once_as_fit(cpu: float, gpu: float, concurrent: int) -> None:
    assert fit_resources(ResourcesConfig(cpu=cpu, gpu=gpu)).concurrent == concurrent


@pytest.mark.usefixtures("one_gpu")
def test_auto_shares_the_gpu_between_the_trials_that_the_cpus_feed() -> None:
    assert fit_resources(ResourcesConfig(cpu=1, gpu="auto")).gpu == 0.25
    assert fit_resources(ResourcesConfig(cpu=4, gpu="auto")).gpu == 0.5
    assert fit_resources(ResourcesConfig(cpu=8, gpu="auto")).memory_fraction is None


@pytest.mark.usefixtures("one_gpu")
@pytest.mark.parametrize(
    ("request_", "told"),
    [({"cpu": 9}, "resources.cpu=9"), ({"gpu": 2.0}, "resources.gpu=2")],
)
def test_a_request_that_no_node_can_meet_is_an_error(request_: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=f"{told}.*would ever start"):
        fit_resources(ResourcesConfig.model_validate(request_))


def cluster(monkeypatch: pytest.MonkeyPatch, *nodes: tuple[float, float]) -> None:
    """Ray's answer in a cluster of machines, each with so many CPUs and GPUs."""
    found = [{"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}} for cpus, gpus in nodes]
    monkeypatch.setattr(ray, "nodes", lambda: found)


@pytest.mark.parametrize("gpu", [1.0, 0.5, "auto"])
def test_what_no_single_node_has_is_an_error_however_much_there_is_together(
    gpu: float | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, (8, 0), (1, 1))
    with pytest.raises(ConfigError, match=r"resources\.cpu=4 and .* 1 CPUs at most.*=0"):
        fit_resources(ResourcesConfig(cpu=4, gpu=gpu))
    assert fit_resources(ResourcesConfig(cpu=4, gpu=0)).concurrent == 2
    assert fit_resources(ResourcesConfig(cpu=1, gpu=gpu)).concurrent == 1


def test_auto_counts_the_cpus_beside_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, (64, 0), (2, 1))
    found = fit_resources(ResourcesConfig(cpu=1, gpu="auto"))
    assert (found.gpu, found.concurrent) == (0.5, 2)
    cluster(monkeypatch, (8, 0), (1, 1), (4, 2))
    found = fit_resources(ResourcesConfig(cpu=4, gpu="auto"))
    assert (found.gpu, found.concurrent) == (1, 1)


@pytest.mark.nightly
@pytest.mark.usefixtures("one_gpu", "in_tmp_path")
def test_four_quarters_of_a_gpu_run_at_once_and_never_five(tmp_path: Path) -> None:
    config = load_config(
        DIGITS,
        [*SMALL, "resources.max_concurrent=null", "resources.gpu=0.25", "budget.num_samples=8",
         "scheduler.name=fifo",
         f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}", "registry.register_best=false"],
    )  # fmt: skip
    start_search(config, SearchFolder("fractions"), Console(quiet=True))
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`tune.kind` = 'trial'")
    assert len(runs) == 8
    # At equal times an end comes before a start: -1 sorts before +1.
    events = [(run.info.start_time, 1) for run in runs] + [(run.info.end_time, -1) for run in runs]
    running = list(accumulate(change for _, change in sorted(events)))
    assert max(running) == 4


def test_a_node_that_joins_late_is_used_and_one_that_leaves_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster(monkeypatch, (0, 0), (2, 0))
    config, now = ResourcesConfig(cpu=1, gpu=0), 0.0
    capacity = Capacity(config, fit_resources(config), lambda: now)
    assert capacity() == 2
    cluster(monkeypatch, (0, 0), (2, 0), (4, 0))
    assert capacity() == 2  # it was just looked at
    now = 6.0
    assert capacity() == 6
    cluster(monkeypatch, (0, 0))
    now = 12.0
    assert capacity() == 0
    capped = ResourcesConfig(cpu=1, gpu=0, max_concurrent=1)
    cluster(monkeypatch, (4, 0))
    assert Capacity(capped, fit_resources(capped), lambda: now)() == 1


@pytest.mark.slow
def test_a_head_without_trials_is_waited_with_for_its_first_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster(monkeypatch, (0, 0))
    await_nodes(patience=0.1)
    with pytest.raises(ConfigError, match="the largest node has 0 CPUs"):
        fit_resources(ResourcesConfig(cpu=1, gpu=0))
    threading.Timer(0.3, cluster, [monkeypatch, (0, 0), (2, 0)]).start()
    await_nodes(patience=30)
    assert fit_resources(ResourcesConfig(cpu=1, gpu=0)).concurrent == 2
