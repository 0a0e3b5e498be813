"""The MLflow record of a search, written by the driver alone.

A search is a parent run and each trial a child of it. A child ends FINISHED when its
trial ran to its own end, KILLED when it was stopped as weak, FAILED when it broke; the
tag `tune.state` says it in Optuna's words.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_SOURCE_NAME
from optuna.trial import TrialState

from tune.config import SearchConfig
from tune.ranges import flatten

METRICS: Final = ("train_loss", "train_acc", "val_loss", "val_acc", "epoch_seconds")

_STATUS = {
    TrialState.COMPLETE: RunStatus.to_string(RunStatus.FINISHED),
    TrialState.PRUNED: RunStatus.to_string(RunStatus.KILLED),
    TrialState.FAIL: RunStatus.to_string(RunStatus.FAILED),
}


class SearchRecord:
    """The parent run of a search and its children.

    Args:
        config: The search.
        name: Of the search, and of its parent run.
    """

    def __init__(self, config: SearchConfig, name: str) -> None:
        if config.tracking.uri is not None:
            mlflow.set_tracking_uri(config.tracking.uri)
        self.client = MlflowClient()
        self.experiment_id = mlflow.set_experiment(config.name).experiment_id
        # Without it the user interface takes the experiment for one with language models.
        self.client.set_experiment_tag(
            self.experiment_id, "mlflow.experimentKind", "custom_model_development"
        )
        self._children: dict[str, str] = {}
        self._open: set[str] = set()
        self.run_id = self._create(name, {"tune.kind": "search", "tune.search": name})
        self.client.log_batch(self.run_id, params=_params(_search_params(config)))
        self.client.log_dict(self.run_id, config.model_dump(mode="json"), "config.yaml")

    def start_trial(
        self, trial_id: str, number: int, params: Mapping[str, Any], at: int | None = None
    ) -> None:
        """Open the child run of a trial that started `at` so many ms since 1970, or now."""
        tags = {
            MLFLOW_PARENT_RUN_ID: self.run_id,
            "tune.kind": "trial",
            "tune.number": str(number),
            "tune.trial_id": trial_id,
        }
        run_id = self._create(f"trial-{number:03d}", tags, at)
        self.client.log_batch(run_id, params=_params(flatten(params)))
        self._children[trial_id] = run_id
        self._open.add(trial_id)

    def log_epoch(self, trial_id: str, result: Mapping[str, Any], at: int) -> None:
        """Record a trial's epoch, which ended `at` so many ms since 1970."""
        run_id, step = self._children[trial_id], result["epoch"]
        metrics = [Metric(name, result[name], at, step) for name in METRICS]
        tags = [RunTag(f"tune.{k}", str(result[k])) for k in ("device", "precision", "threads")]
        self.client.log_batch(run_id, metrics=metrics, tags=tags if step == 1 else [])

    def end_trial(
        self,
        trial_id: str,
        state: TrialState,
        error: str | None = None,
        at: int | None = None,
    ) -> None:
        """Close the child run of a trial that ended `at` so many ms since 1970, or now."""
        run_id = self._children[trial_id]
        self._open.discard(trial_id)
        self.client.set_tag(run_id, "tune.state", state.name)
        if error is not None:
            self.client.set_tag(run_id, "tune.error", error)
        self.client.set_terminated(run_id, _STATUS[state], at)

    def child(self, trial_id: str) -> str:
        """Id of a trial's run."""
        return self._children[trial_id]

    def log_summary(self, metrics: Mapping[str, float], params: Mapping[str, Any]) -> None:
        """Record what the search came to, on the parent run."""
        now = int(time.time() * 1000)
        values = [Metric(name, value, now, 0) for name, value in metrics.items()]
        tags = [RunTag(name, str(value)) for name, value in params.items()]
        self.client.log_batch(self.run_id, metrics=values, tags=tags)

    def close(self, status: str) -> None:
        """Close the parent run with MLflow's `status`, and any child that is open as failed."""
        for trial_id in self._open.copy():
            self.end_trial(trial_id, TrialState.FAIL, "interrupted")
        self.client.set_terminated(self.run_id, status)

    def _create(self, name: str, tags: Mapping[str, str], at: int | None = None) -> str:
        named = {MLFLOW_RUN_NAME: name, MLFLOW_SOURCE_NAME: "tune.search", **tags}
        return str(self.client.create_run(self.experiment_id, at, named).info.run_id)


def _search_params(config: SearchConfig) -> dict[str, Any]:
    dumped = config.model_dump(mode="json")
    return {f"space.{k}": v for k, v in dumped.pop("space").items()} | flatten(dumped)


def _params(values: Mapping[str, Any]) -> list[Param]:
    return [Param(key, str(value)) for key, value in values.items()]
