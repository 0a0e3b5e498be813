"""Runs in MLflow that have not been closed, as a search that was killed leaves them."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tune.study.folder import Search
from tune.tracking.record import find_parent, find_runs

_OPEN = "attributes.status = 'RUNNING'"


def open_runs(client: MlflowClient, search: Search) -> list[Run]:
    """Runs of a search that are not closed: those of its trials, and then its own."""
    parent = find_parent(client, search)
    if parent is None:
        return []
    child = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}'"
    children = find_runs(client, parent.info.experiment_id, f"{child} and {_OPEN}")
    return [*children, *([parent] if parent.info.status == "RUNNING" else [])]


def open_parents(client: MlflowClient) -> list[Run]:
    """Runs of searches that are not closed, in all experiments."""
    condition = f"tags.`tune.kind` = 'search' and {_OPEN}"
    experiments = [found.experiment_id for found in client.search_experiments()]
    return [run for each in experiments for run in find_runs(client, each, condition)]


def interrupt(client: MlflowClient, run: Run) -> None:
    """Close a run as that of an interrupted search, which opens it again when it goes on."""
    if MLFLOW_PARENT_RUN_ID in run.data.tags:
        client.set_tag(run.info.run_id, "tune.state", "INTERRUPTED")
    client.set_terminated(run.info.run_id, "KILLED")
