"""The MLflow record of a search, written by the driver alone, made of the ledger.

A search is a parent run and each trial a child of it: see :mod:`tune.tracking.trial_runs`.

Everything here may be done again: runs are looked up before they are made, and MLflow takes a
metric of the same step, time and value for the same metric.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from trainable.judging.predictions import Predictions
from tune.base.passwords import masked
from tune.config.schema import SearchConfig
from tune.config.space import flatten
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.tracking.client import patient
from tune.tracking.database import make_database
from tune.tracking.evaluation import write_evaluation
from tune.tracking.inputs import dataset_input
from tune.tracking.notes import may_replace
from tune.tracking.patience import Patience
from tune.tracking.queries import find_parent
from tune.tracking.runs import RUNNING, Runs, as_params, as_tags
from tune.tracking.schema import SEARCH_KIND, Artifact, Tag, space_param
from tune.tracking.server import full_uri, open_client
from tune.tracking.trial_runs import TrialRuns


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
        self._runs = Runs(self.client, search.config.name)
        self.experiment_id = self._runs.experiment_id
        self.run_id = self._parent(search)
        self._trials = TrialRuns(self._runs, self.run_id, search)

    def sync(self, ledger: Ledger) -> None:
        """Write what the record lacks of a ledger."""
        self._trials.sync(ledger)

    @property
    def closed(self) -> int:
        """How many trials are recorded to their end."""
        return self._trials.closed

    def child(self, name: str) -> str:
        """Id of the run of a trial that is called so, such as `confirm-001`."""
        return self._trials.run_id(name)

    def clear(self, tag: str) -> None:
        """Take a tag off the parent run, if it is there."""
        if tag in self.client.get_run(self.run_id).data.tags:
            self.client.delete_tag(self.run_id, tag)

    def log_summary(self, metrics: Mapping[str, float], tags: Mapping[str, Any]) -> None:
        """Record what the search came to, on the parent run."""
        known = self.client.get_run(self.run_id).data.metrics
        now = int(time.time() * 1000)
        new = [Metric(k, v, now, 0) for k, v in metrics.items() if known.get(k) != v]
        self.client.log_batch(self.run_id, new, tags=as_tags(tags))

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
        self._trials.interrupt()
        self.client.set_terminated(self.run_id, status)

    def _parent(self, search: Search) -> str:
        """Id of the parent run, which is running again if it had been closed."""
        found = find_parent(self.client, search)
        if found is not None:
            run_id, known = str(found.info.run_id), found.data.params
            self.client.update_run(run_id, status=RUNNING)
        else:
            tags = {
                Tag.KIND: SEARCH_KIND,
                Tag.SEARCH: search.name,
                Tag.IDENTITY: search.identity,
                Tag.DATA: search.data_fingerprint,
                Tag.WEIGHTS: search.weights_hash or "random",
            }
            run_id, known = self._runs.create(search.name, tags), {}
        # A kill may have come between; and a search that is extended keeps its first params.
        params = {k: v for k, v in _search_params(search.config).items() if k not in known}
        self.client.log_batch(run_id, params=as_params(params))
        self.client.log_dict(run_id, _public(search.config), Artifact.CONFIG)
        if found is None or found.inputs is None or not found.inputs.dataset_inputs:
            self.client.log_inputs(run_id, [dataset_input(search)])
        return run_id


def _public(config: SearchConfig) -> dict[str, Any]:
    """A config as it may be shown: URLs without their passwords."""
    dumped = config.model_dump(mode="json")
    for key in ("uri", "study", "storage"):
        url = dumped["tracking"][key]
        if url is not None:
            dumped["tracking"][key] = masked(url)
    return dumped


def _search_params(config: SearchConfig) -> dict[str, Any]:
    dumped = _public(config)
    return {space_param(k): v for k, v in dumped.pop("space").items()} | flatten(dumped)
