"""The MLflow record of a search, written by the driver alone, made of the ledger.

A search is a parent run and each trial a child of it. A child ends FINISHED when its
trial ran to its own end, KILLED when it was stopped as weak, FAILED when it broke; a tag says
it in Optuna's words. Of a search that is interrupted, the runs that are
not through are KILLED and tagged INTERRUPTED, until it goes on.

Everything here may be done again: runs are looked up before they are made, and MLflow takes a
metric of the same step, time and value for the same metric.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
)

from trainable.judging.predictions import Predictions
from tune.base.passwords import masked
from tune.config.schema import SearchConfig
from tune.config.space import flatten
from tune.strategy.choice import Choice
from tune.study.ledger import Ledger
from tune.study.search import Search, run_name
from tune.study.trial import TrialLog, TrialState
from tune.tracking.client import make_once, patient
from tune.tracking.database import make_database
from tune.tracking.evaluation import write_evaluation
from tune.tracking.inputs import dataset_input
from tune.tracking.notes import may_replace
from tune.tracking.patience import Patience
from tune.tracking.queries import child_of, find_parent, find_runs, tagged
from tune.tracking.schema import (
    BEST_EPOCH,
    INTERRUPTED,
    REFIT_KIND,
    SEARCH_KIND,
    SOURCE,
    Artifact,
    Tag,
    TrialTags,
    cost_metric,
    epoch_metric,
    facts_as_tags,
    space_param,
)
from tune.tracking.schema import best as best_name
from tune.tracking.server import full_uri, open_client

_STATUS: Final = {
    TrialState.COMPLETE: RunStatus.to_string(RunStatus.FINISHED),
    TrialState.PRUNED: RunStatus.to_string(RunStatus.KILLED),
    TrialState.FAIL: RunStatus.to_string(RunStatus.FAILED),
}
_ENDS: Final = {state.name for state in _STATUS}
_RUNNING: Final = RunStatus.to_string(RunStatus.RUNNING)
_OWN: Final = (MLFLOW_PARENT_RUN_ID, Tag.KIND, Tag.NUMBER, Tag.IDENTITY)
"""Tags that no two runs share."""
_BATCH: Final = 1000
"""Metrics that MLflow takes at once."""


@dataclass
class _Child:
    """A trial's run: its id, how much of it is written, and whether it is closed."""

    run_id: str
    params: bool = False
    epochs: int = 0
    closed: bool = False


class SearchRecord:
    """The parent run of a search and its children, found or made.

    Args:
        search: The search.
        patience: How long MLflow is waited for.
    """

    def __init__(self, search: Search, patience: Patience | None = None) -> None:
        uri = search.config.tracking.uri
        make_database(full_uri(uri))
        self.client = patient(open_client(uri), patience or Patience())
        self.experiment_id = self._experiment(search.config.name)
        # Without it the user interface takes the experiment for one with language models.
        self.client.set_experiment_tag(
            self.experiment_id, Tag.EXPERIMENT_KIND, "custom_model_development"
        )
        self._points, self._choice = search.points or (), Choice.of(search)
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
                self._log_epochs(child, trial, ledger.kind)
                if ended:
                    self._end(child, trial, ledger.kind)

    @property
    def closed(self) -> int:
        """How many trials are recorded to their end."""
        return sum(child.closed for child in self._children.values())

    def child(self, name: str) -> str:
        """Id of the run of a trial that is called so, such as `confirm-001`."""
        found = {run_name(*key): child.run_id for key, child in self._children.items()}
        return found[name]

    def clear(self, tag: str) -> None:
        """Take a tag off the parent run, if it is there."""
        if tag in self.client.get_run(self.run_id).data.tags:
            self.client.delete_tag(self.run_id, tag)

    def log_summary(self, metrics: Mapping[str, float], tags: Mapping[str, Any]) -> None:
        """Record what the search came to, on the parent run."""
        known = self.client.get_run(self.run_id).data.metrics
        now = int(time.time() * 1000)
        new = [Metric(k, v, now, 0) for k, v in metrics.items() if known.get(k) != v]
        self.client.log_batch(self.run_id, new, tags=_tags(tags))

    def log_evaluation(
        self, test: Predictions, classes: Sequence[str], identity: Mapping[str, str], images: str
    ) -> None:
        """Record what the chosen model answered to the test images, whose fingerprint is given."""
        write_evaluation(self.client, self.run_id, test, classes, identity, images)

    def note(self, text: str) -> None:
        """Describe the search on the parent run, unless somebody has described it by hand."""
        if may_replace(self.client.get_run(self.run_id).data.tags.get(MLFLOW_RUN_NOTE)):
            self.client.set_tag(self.run_id, MLFLOW_RUN_NOTE, text)

    def note_version(self, name: str, number: int, text: str) -> None:
        """Describe a registered version, unless somebody has described it by hand."""
        version = str(number)
        if may_replace(self.client.get_model_version(name, version).description):
            self.client.update_model_version(name, version, text)

    def log_files(self, files: Iterable[Path]) -> None:
        """Put files on the parent run."""
        for file in files:
            self.client.log_artifact(self.run_id, str(file))

    def close(self, status: str) -> None:
        """Close the parent run with MLflow's `status`, and what is open as interrupted."""
        for child in self._children.values():
            if not child.closed:
                self.client.set_tag(child.run_id, Tag.STATE, INTERRUPTED)
                self.client.set_terminated(child.run_id, "KILLED")
        self.client.set_terminated(self.run_id, status)

    def _experiment(self, name: str) -> str:
        """Id of the experiment, which is made unless it is there."""

        def find() -> str | None:
            found = self.client.get_experiment_by_name(name)
            return None if found is None else str(found.experiment_id)

        def make() -> str:
            try:
                return str(self.client.create_experiment(name))
            except MlflowException:
                found = find()  # another search was quicker
                if found is None:
                    raise
                return found

        return find() or make_once(self.client, make, find)

    def _parent(self, search: Search) -> str:
        """Id of the parent run, which is running again if it had been closed."""
        found = find_parent(self.client, search)
        if found is not None:
            run_id, known = str(found.info.run_id), found.data.params
            self.client.update_run(run_id, status=_RUNNING)
        else:
            tags = {
                Tag.KIND: SEARCH_KIND,
                Tag.SEARCH: search.name,
                Tag.IDENTITY: search.identity,
                Tag.DATA: search.data_fingerprint,
                Tag.WEIGHTS: search.weights_hash or "random",
            }
            run_id, known = self._create(search.name, tags), {}
        # A kill may have come between; and a search that is extended keeps its first params.
        params = {k: v for k, v in _search_params(search.config).items() if k not in known}
        self.client.log_batch(run_id, params=_params(params))
        self.client.log_dict(run_id, _public(search.config), Artifact.CONFIG)
        if found is None or found.inputs is None or not found.inputs.dataset_inputs:
            self.client.log_inputs(run_id, [dataset_input(search)])
        return run_id

    def _find_children(self) -> Iterable[tuple[tuple[str, int], _Child]]:
        for run in find_runs(self.client, self.experiment_id, child_of(self.run_id)):
            tags = TrialTags.of(run)
            if tags is not None:
                stopped = run.info.status != _RUNNING
                closed = stopped and tags.state in _ENDS and not tags.cut_short
                if stopped and not closed:
                    self._reopen(run)
                yield (tags.kind, tags.number), _Child(str(run.info.run_id), closed=closed)

    def _reopen(self, run: Run) -> None:
        """Have a trial's run go on that was interrupted, or cut short by a time budget."""
        self.client.update_run(run.info.run_id, status=_RUNNING)
        for tag in (Tag.STATE, Tag.ERROR, Tag.CUT_SHORT):
            if tag in run.data.tags:
                self.client.delete_tag(run.info.run_id, tag)

    def _create_child(self, ledger: Ledger, trial: TrialLog) -> _Child:
        tags = {
            MLFLOW_PARENT_RUN_ID: self.run_id,
            Tag.KIND: ledger.kind,
            Tag.NUMBER: str(trial.number),
            Tag.CONFIG: ledger.config.trial(trial.params).model_dump_json(),
        }
        if ledger.kind == "trial" and trial.number < len(self._points):  # tried in their order
            point = self._points[trial.number]
            if point.values.items() <= trial.params.items():
                tags[Tag.FIRST_POINT] = f"{point.name}: {point.why}"
        return _Child(self._create(run_name(ledger.kind, trial.number), tags, trial.started))

    def _log_epochs(self, child: _Child, trial: TrialLog, kind: str) -> None:
        if not child.params:
            cost, of = self._choice.cost(trial.params), self._choice.config.strategy.cost
            named = [] if cost is None else [Metric(cost_metric(of), cost, trial.started, 0)]
            self.client.log_batch(child.run_id, named, params=_params(trial.params))
            child.params = True
        new = trial.epochs[child.epochs :]  # the others are not looked at again
        if new and child.epochs == 0:
            self.client.log_batch(child.run_id, tags=_tags(facts_as_tags(trial.facts)))
        metrics = [
            Metric(epoch_metric(name, kind), value, epoch.at, number)
            for number, epoch in enumerate(new, child.epochs + 1)
            for name, value in epoch.metrics.items()
        ]
        for start in range(0, len(metrics), _BATCH):
            self.client.log_batch(child.run_id, metrics[start : start + _BATCH])
        child.epochs += len(new)

    def _end(self, child: _Child, trial: TrialLog, kind: str) -> None:
        tags, best = {Tag.STATE: trial.state.name}, []
        # No epoch of a refit is the best: no image is left to say so.
        if trial.best is not None and trial.ended is not None and kind != REFIT_KIND:
            # Its other columns in MLflow are of its last epoch.
            values = {best_name(trial.objective): trial.score, BEST_EPOCH: trial.best}
            best = [Metric(name, value, trial.ended, 0) for name, value in values.items()]
        if trial.error is not None:
            tags[Tag.ERROR] = trial.error
        if trial.cut_short:
            tags[Tag.CUT_SHORT] = "yes"
        self.client.log_batch(child.run_id, best, tags=_tags(tags))
        self.client.set_terminated(child.run_id, _STATUS[trial.state], trial.ended)
        child.closed = True

    def _create(self, name: str, tags: Mapping[str, str], at: int | None = None) -> str:
        named = {MLFLOW_RUN_NAME: name, MLFLOW_SOURCE_NAME: SOURCE, **tags}

        def make() -> str:
            return str(self.client.create_run(self.experiment_id, at, named).info.run_id)

        def find() -> str | None:
            own = " and ".join(tagged(tag, tags[tag]) for tag in _OWN if tag in tags)
            found = find_runs(self.client, self.experiment_id, own)
            return str(found[0].info.run_id) if found else None

        return make_once(self.client, make, find)


def _public(config: SearchConfig) -> dict[str, Any]:
    """A config as it may be shown: URLs without their passwords."""
    dumped = config.model_dump(mode="json")
    for key in ("uri", "study"):
        url = dumped["tracking"][key]
        if url is not None:
            dumped["tracking"][key] = masked(url)
    return dumped


def _search_params(config: SearchConfig) -> dict[str, Any]:
    dumped = _public(config)
    return {space_param(k): v for k, v in dumped.pop("space").items()} | flatten(dumped)


def _params(values: Mapping[str, Any]) -> list[Param]:
    return [Param(key, str(value)) for key, value in values.items()]


def _tags(values: Mapping[str, Any]) -> list[RunTag]:
    return [RunTag(key, str(value)) for key, value in values.items()]
