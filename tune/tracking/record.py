"""The MLflow record of a search, written by the driver alone, made of the ledger.

A search is a parent run and each trial a child of it. A child ends FINISHED when its
trial ran to its own end, KILLED when it was stopped as weak, FAILED when it broke; the
tag `tune.state` says it in Optuna's words. Of a search that is interrupted, the runs that are
not through are KILLED and tagged INTERRUPTED, until it goes on.

Everything here may be done again: runs are looked up before they are made, and MLflow takes a
metric of the same step, time and value for the same metric.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_SOURCE_NAME
from optuna.trial import TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from tune.config.schema import SearchConfig
from tune.config.space import flatten
from tune.study.folder import Search
from tune.study.ledger import Ledger
from tune.study.trial import Kind, TrialLog

FAILURES: Final = (MlflowException, SQLAlchemyError, OSError)
"""What is raised where MLflow's server or store is away, full or broken."""

_STATUS: Final = {
    TrialState.COMPLETE: RunStatus.to_string(RunStatus.FINISHED),
    TrialState.PRUNED: RunStatus.to_string(RunStatus.KILLED),
    TrialState.FAIL: RunStatus.to_string(RunStatus.FAILED),
}
_RUNNING: Final = RunStatus.to_string(RunStatus.RUNNING)
_KIND, _STATE, _NUMBER, _IDENTITY = "tune.kind", "tune.state", "tune.number", "tune.identity"
_BATCH: Final = 1000
"""Metrics that MLflow takes at once."""


@dataclass
class _Child:
    """A trial's run: its id, what it has been told, and whether it is closed as it should be."""

    run_id: str
    params: bool = False
    epochs: int = 0
    closed: bool = False


class SearchRecord:
    """The parent run of a search and its children, found or made.

    Args:
        search: The search.
    """

    def __init__(self, search: Search) -> None:
        config = search.config
        if config.tracking.uri is not None:
            mlflow.set_tracking_uri(config.tracking.uri)
        _make_database(mlflow.get_tracking_uri())
        self.client = MlflowClient()
        self.experiment_id = mlflow.set_experiment(config.name).experiment_id
        # Without it the user interface takes the experiment for one with language models.
        self.client.set_experiment_tag(
            self.experiment_id, "mlflow.experimentKind", "custom_model_development"
        )
        self.run_id = self._parent(search)
        self._children = dict(self._find_children())

    def sync(self, ledger: Ledger) -> None:
        """Write what the record lacks of a ledger."""
        for trial in list(ledger.trials.values()):
            key = ledger.kind, trial.number
            child = self._children.get(key)
            if child is None:
                child = self._children[key] = self._create_child(ledger, trial)
            if not child.closed:
                ended = trial.state.is_finished()  # looked at first: it changes last
                self._log_epochs(child, trial)
                if ended:
                    self._end(child, trial)

    @property
    def closed(self) -> int:
        """How many trials are recorded to their end."""
        return sum(child.closed for child in self._children.values())

    def child(self, number: int, kind: Kind = "trial") -> str:
        """Id of a trial's run."""
        return self._children[kind, number].run_id

    def log_summary(self, metrics: Mapping[str, float], tags: Mapping[str, Any]) -> None:
        """Record what the search came to, on the parent run."""
        known = self.client.get_run(self.run_id).data.metrics
        now = int(time.time() * 1000)
        new = [Metric(k, v, now, 0) for k, v in metrics.items() if known.get(k) != v]
        self.client.log_batch(self.run_id, new, tags=_tags(tags))

    def close(self, status: str) -> None:
        """Close the parent run with MLflow's `status`, and what is open as interrupted."""
        for child in self._children.values():
            if not child.closed:
                self.client.set_tag(child.run_id, _STATE, "INTERRUPTED")
                self.client.set_terminated(child.run_id, "KILLED")
        self.client.set_terminated(self.run_id, status)

    def _parent(self, search: Search) -> str:
        """Id of the parent run, which is running again if it had been closed."""
        found = find_parent(self.client, search)
        if found is not None:
            run_id, known = str(found.info.run_id), found.data.params
            self.client.update_run(run_id, status=_RUNNING)
        else:
            tags = {
                _KIND: "search",
                "tune.search": search.name,
                _IDENTITY: search.identity,
                "tune.data": search.data_fingerprint,
                "tune.weights": search.weights_hash or "random",
            }
            run_id, known = self._create(search.name, tags), {}
        # A kill may have come between; and a search that is extended keeps its first params.
        params = {k: v for k, v in _search_params(search.config).items() if k not in known}
        self.client.log_batch(run_id, params=_params(params))
        self.client.log_dict(run_id, _public(search.config), "config.yaml")
        return run_id

    def _find_children(self) -> Iterable[tuple[tuple[str, int], _Child]]:
        condition = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.run_id}'"
        for run in find_runs(self.client, self.experiment_id, condition):
            tags = run.data.tags
            if _NUMBER in tags:
                states = {state.name for state in _STATUS}
                closed = run.info.status != _RUNNING and tags.get(_STATE) in states
                if not closed and run.info.status != _RUNNING:
                    self.client.update_run(run.info.run_id, status=_RUNNING)
                    self.client.delete_tag(run.info.run_id, _STATE)
                yield (tags[_KIND], int(tags[_NUMBER])), _Child(str(run.info.run_id), closed=closed)

    def _create_child(self, ledger: Ledger, trial: TrialLog) -> _Child:
        tags = {
            MLFLOW_PARENT_RUN_ID: self.run_id,
            _KIND: ledger.kind,
            _NUMBER: str(trial.number),
            "tune.config": ledger.config.trial(trial.params).model_dump_json(),
        }
        return _Child(self._create(f"{ledger.kind}-{trial.number:03d}", tags, trial.started))

    def _log_epochs(self, child: _Child, trial: TrialLog) -> None:
        epochs = trial.epochs[:]
        if not child.params:
            self.client.log_batch(child.run_id, params=_params(trial.params))
            child.params = True
        if epochs and child.epochs == 0:
            facts = {f"tune.{name}": value for name, value in trial.facts.items()}
            self.client.log_batch(child.run_id, tags=_tags(facts))
        metrics = [
            Metric(name, value, epoch.at, number)
            for number, epoch in enumerate(epochs[child.epochs :], child.epochs + 1)
            for name, value in epoch.metrics.items()
        ]
        for start in range(0, len(metrics), _BATCH):
            self.client.log_batch(child.run_id, metrics[start : start + _BATCH])
        child.epochs = len(epochs)

    def _end(self, child: _Child, trial: TrialLog) -> None:
        tags = {_STATE: trial.state.name}
        if trial.error is not None:
            tags["tune.error"] = trial.error
        self.client.log_batch(child.run_id, tags=_tags(tags))
        self.client.set_terminated(child.run_id, _STATUS[trial.state], trial.ended)
        child.closed = True

    def _create(self, name: str, tags: Mapping[str, str], at: int | None = None) -> str:
        named = {MLFLOW_RUN_NAME: name, MLFLOW_SOURCE_NAME: "tune.search", **tags}
        return str(self.client.create_run(self.experiment_id, at, named).info.run_id)


def find_parent(client: MlflowClient, search: Search) -> Run | None:
    """The run of a search, if it has been made."""
    experiment = client.get_experiment_by_name(search.config.name)
    if experiment is None:
        return None
    condition = f"tags.`{_IDENTITY}` = '{search.identity}'"
    return next(iter(find_runs(client, experiment.experiment_id, condition)), None)


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


def _make_database(uri: str) -> None:
    """Make MLflow's database aside, and then rename it.

    MLflow makes it in seconds and many steps, and cannot go on with half of one.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///"):
        return
    for half in path.parent.glob(f"{path.name}.[0-9]*"):
        if not _is_alive(int(half.suffix[1:].partition("-")[0])):  # SQLite's journal has a -
            half.unlink(missing_ok=True)
    if path.exists():
        return
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        MlflowClient(f"sqlite:///{aside}").search_experiments(max_results=1)
        with suppress(FileExistsError):  # another process was quicker
            os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def _public(config: SearchConfig) -> dict[str, Any]:
    """A config as it may be shown: URLs without their passwords."""
    dumped = config.model_dump(mode="json")
    for key in ("uri", "study"):
        url = dumped["tracking"][key]
        if url is not None:
            dumped["tracking"][key] = make_url(url).render_as_string(hide_password=True)
    return dumped


def _search_params(config: SearchConfig) -> dict[str, Any]:
    dumped = _public(config)
    return {f"space.{k}": v for k, v in dumped.pop("space").items()} | flatten(dumped)


def _params(values: Mapping[str, Any]) -> list[Param]:
    return [Param(key, str(value)) for key, value in values.items()]


def _tags(values: Mapping[str, Any]) -> list[RunTag]:
    return [RunTag(key, str(value)) for key, value in values.items()]
