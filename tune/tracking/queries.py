"""Finding the runs of searches and of their trials, and what else there may be many of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import RegisteredModel
from mlflow.utils import get_results_from_paginated_fn
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tune.study.search import Search
from tune.tracking.schema import INTERRUPTED, SEARCH_KIND, Tag
from tune.tracking.tags import TrialTags

_OPEN: Final = "attributes.status = 'RUNNING'"
_PAGE: Final = 1000
"""Answers that are asked for at once: MLflow's servers give no more."""
_Found = TypeVar("_Found")


def find_runs(client: MlflowClient, experiment_id: str, condition: str) -> list[Run]:
    """The runs of an experiment that meet a condition, in MLflow's words, however many."""
    return _every(lambda **page: client.search_runs([experiment_id], condition, **page))


def find_models(client: MlflowClient) -> list[RegisteredModel]:
    """The registered models, however many."""
    return _every(client.search_registered_models)


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
    experiments = [found.experiment_id for found in _every(client.search_experiments)]
    return [run for each in experiments for run in find_runs(client, each, condition)]


def interrupt(client: MlflowClient, run: Run) -> None:
    """Close a run as that of an interrupted search, which opens it again when it goes on."""
    if TrialTags.of(run) is not None:
        client.set_tag(run.info.run_id, Tag.STATE, INTERRUPTED)
    client.set_terminated(run.info.run_id, "KILLED")


def _every(search: Callable[..., list[_Found]]) -> list[_Found]:
    """What one of MLflow's searches finds, page by page: it gives the first alone."""

    def page(count: int, token: str | None) -> list[_Found]:
        return search(max_results=count, page_token=token)

    found: list[_Found] = get_results_from_paginated_fn(page, _PAGE)
    return found
