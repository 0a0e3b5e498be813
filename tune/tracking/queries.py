"""Finding the runs of searches and of their trials."""

from __future__ import annotations

from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tune.study.search import Search
from tune.tracking.schema import INTERRUPTED, SEARCH_KIND, Tag
from tune.tracking.tags import TrialTags

_OPEN: Final = "attributes.status = 'RUNNING'"


def find_runs(client: MlflowClient, experiment_id: str, condition: str) -> list[Run]:
    """The runs of an experiment that meet a condition, in MLflow's words, however many."""
    found: list[Run] = []
    token: str | None = ""
    while token is not None:
        page = client.search_runs(
            [experiment_id], condition, max_results=1000, page_token=token or None
        )
        found += page
        token = page.token or None
    return found


def find_parent(client: MlflowClient, search: Search) -> Run | None:
    """The run of a search, if it has been made."""
    experiment = client.get_experiment_by_name(search.config.name)
    if experiment is None:
        return None
    own = tagged(Tag.IDENTITY, search.identity)
    return next(iter(find_runs(client, experiment.experiment_id, own)), None)


def tagged(tag: str, value: object) -> str:
    """The condition that a run has a tag."""
    return f"tags.`{tag}` = '{value}'"


def child_of(parent_id: str, kind: str | None = None, number: str | None = None) -> str:
    """The condition that a run is a trial of a search's run."""
    asked = {MLFLOW_PARENT_RUN_ID: parent_id, Tag.KIND: kind, Tag.NUMBER: number}
    return " and ".join(tagged(tag, value) for tag, value in asked.items() if value is not None)


def open_runs(client: MlflowClient, search: Search) -> list[Run]:
    """Runs of a search that are not closed: those of its trials, and then its own."""
    parent = find_parent(client, search)
    if parent is None:
        return []
    condition = f"{child_of(parent.info.run_id)} and {_OPEN}"
    children = find_runs(client, parent.info.experiment_id, condition)
    return [*children, *([parent] if parent.info.status == "RUNNING" else [])]


def open_parents(client: MlflowClient) -> list[Run]:
    """Runs of searches that are not closed, in all experiments."""
    condition = f"{tagged(Tag.KIND, SEARCH_KIND)} and {_OPEN}"
    experiments = [found.experiment_id for found in client.search_experiments()]
    return [run for each in experiments for run in find_runs(client, each, condition)]


def interrupt(client: MlflowClient, run: Run) -> None:
    """Close a run as that of an interrupted search, which opens it again when it goes on."""
    if TrialTags.of(run) is not None:
        client.set_tag(run.info.run_id, Tag.STATE, INTERRUPTED)
    client.set_terminated(run.info.run_id, "KILLED")
