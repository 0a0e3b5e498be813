"""The runs of a search's trials in MLflow, found or made, and written from the ledger.

A run ends FINISHED when its trial ran to its own end, KILLED when it was stopped as weak, FAILED
when it broke; a tag says it in Optuna's words. Of a search that is interrupted, the runs that are
not through are KILLED and tagged INTERRUPTED, until it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mlflow.entities import Metric, Run, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tune.strategy.choice import Choice
from tune.study.ledger import Ledger
from tune.study.search import Search, run_name
from tune.study.trial import TrialLog, TrialState
from tune.tracking.queries import child_of, find_runs
from tune.tracking.runs import RUNNING, Runs, as_params, as_tags
from tune.tracking.schema import (
    BEST_EPOCH,
    INTERRUPTED,
    REFIT_KIND,
    YES,
    Tag,
    cost_metric,
    epoch_metric,
    facts_as_tags,
)
from tune.tracking.schema import best as best_name
from tune.tracking.tags import TrialTags

_STATUS: Final = {
    TrialState.COMPLETE: RunStatus.to_string(RunStatus.FINISHED),
    TrialState.PRUNED: RunStatus.to_string(RunStatus.KILLED),
    TrialState.FAIL: RunStatus.to_string(RunStatus.FAILED),
}
_ENDS: Final = {state.name for state in _STATUS}
_BATCH: Final = 1000
"""Metrics that MLflow takes at once."""


@dataclass
class _Child:
    """A trial's run: its id, how much of it is written, and whether it is closed."""

    run_id: str
    params: bool = False
    epochs: int = 0
    closed: bool = False


class TrialRuns:
    """The runs of a search's trials.

    Args:
        runs: Makes and finds them.
        parent: Id of the search's run.
        search: The search.
    """

    def __init__(self, runs: Runs, parent: str, search: Search) -> None:
        self._runs, self._client, self._parent = runs, runs.client, parent
        self._points, self._choice = search.points or (), Choice.of(search)
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

    def run_id(self, name: str) -> str:
        """Id of the run of a trial that is called so, such as `confirm-001`."""
        found = {run_name(*key): child.run_id for key, child in self._children.items()}
        return found[name]

    def interrupt(self) -> None:
        """Close those that are open, as interrupted."""
        for child in self._children.values():
            if not child.closed:
                self._client.set_tag(child.run_id, Tag.STATE, INTERRUPTED)
                self._client.set_terminated(child.run_id, "KILLED")

    def _find_children(self) -> Iterable[tuple[tuple[str, int], _Child]]:
        for run in find_runs(self._client, self._runs.experiment_id, child_of(self._parent)):
            tags = TrialTags.of(run)
            if tags is not None:
                stopped = run.info.status != RUNNING
                closed = stopped and tags.state in _ENDS and not tags.cut_short
                if stopped and not closed:
                    self._reopen(run)
                yield (tags.kind, tags.number), _Child(str(run.info.run_id), closed=closed)

    def _reopen(self, run: Run) -> None:
        """Have a trial's run go on that was interrupted, or cut short by a time budget."""
        self._client.update_run(run.info.run_id, status=RUNNING)
        for tag in (Tag.STATE, Tag.ERROR, Tag.CUT_SHORT):
            if tag in run.data.tags:
                self._client.delete_tag(run.info.run_id, tag)

    def _create_child(self, ledger: Ledger, trial: TrialLog) -> _Child:
        tags = {
            MLFLOW_PARENT_RUN_ID: self._parent,
            Tag.KIND: ledger.kind,
            Tag.NUMBER: str(trial.number),
            Tag.CONFIG: ledger.config.trial(trial.params).model_dump_json(),
        }
        if ledger.kind == "trial" and trial.number < len(self._points):  # tried in their order
            point = self._points[trial.number]
            if point.values.items() <= trial.params.items():
                tags[Tag.FIRST_POINT] = f"{point.name}: {point.why}"
        return _Child(self._runs.create(run_name(ledger.kind, trial.number), tags, trial.started))

    def _log_epochs(self, child: _Child, trial: TrialLog, kind: str) -> None:
        if not child.params:
            cost, of = self._choice.cost(trial.params), self._choice.config.strategy.cost
            named = [] if cost is None else [Metric(cost_metric(of), cost, trial.started, 0)]
            self._client.log_batch(child.run_id, named, params=as_params(trial.params))
            child.params = True
        new = trial.epochs[child.epochs :]  # the others are not looked at again
        if new and child.epochs == 0:
            self._client.log_batch(child.run_id, tags=as_tags(facts_as_tags(trial.facts)))
        metrics = [
            Metric(epoch_metric(name, kind), value, epoch.at, number)
            for number, epoch in enumerate(new, child.epochs + 1)
            for name, value in epoch.metrics.items()
        ]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(child.run_id, metrics[start : start + _BATCH])
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
            tags[Tag.CUT_SHORT] = YES
        self._client.log_batch(child.run_id, best, tags=as_tags(tags))
        self._client.set_terminated(child.run_id, _STATUS[trial.state], trial.ended)
        child.closed = True
