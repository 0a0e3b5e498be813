"""Before the first trial: Ray is started, and what each trial gets of it is found."""

from __future__ import annotations

import logging

from rich.console import Console

from tune.base.platforms import untested
from tune.config.schema import SearchConfig
from tune.engine.cluster import is_own, start_ray
from tune.engine.fractions import measure, trials_per_gpu
from tune.engine.marks import check_storage
from tune.engine.nodes import alive_nodes, says_where
from tune.engine.ray_compat import use_waiting_workers
from tune.engine.resources import TrialResources, await_nodes, fit_resources


def prepare(config: SearchConfig, console: Console) -> None:
    """Start Ray, leave the terminal to the progress, and check that a trial could ever start."""
    if (remark := untested()) is not None:
        console.print(f"system   {remark}", soft_wrap=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # A trial's error is shown in its line and its run, not as a traceback in between; and what
    # MLflow's store cannot write is written later, or reported at the end.
    for name in ("ray.tune", "ray.air", "mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    start_ray(config.resources)
    if not is_own():
        await_nodes()
        check_storage(config.tracking.storage)
        if (remark := says_where(config.tracking.study)) and len(alive_nodes()) > 1:
            console.print(f"study    {remark}", soft_wrap=True)
    if is_own():  # the workers of another have not loaded PyTorch
        use_waiting_workers()
    fit_resources(config.resources)


def share_of_each(config: SearchConfig, console: Console) -> TrialResources:
    """What each trial gets; with `resources.gpu=auto`, by the memory that it needs.

    Where that is not known a trial has a GPU to itself: of several that take more than there is,
    all would fail, and another search's beside them.
    """
    resources = fit_resources(config.resources)
    if config.resources.gpu != "auto" or resources.gpu == 0:
        return resources
    need = measure(
        config, lambda line: console.print(f"gpu      {line}", soft_wrap=True, markup=False)
    )
    if need is None:
        said = "what a trial takes of its memory could not be measured: each has one to itself"
        console.print(f"gpu      {said}", soft_wrap=True)
        return fit_resources(config.resources, per_gpu=1)
    gigabytes = f"{need.peak / 10**9:.1f} GB of {need.total / 10**9:.1f} GB"
    console.print(f"gpu      {gigabytes} needed by the heaviest trial")
    return fit_resources(config.resources, trials_per_gpu(need))
