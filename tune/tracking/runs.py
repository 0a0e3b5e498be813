"""Runs of one experiment in MLflow: each is found or made, and so there once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_SOURCE_NAME

from tune.tracking.client import make_once
from tune.tracking.queries import find_runs, tagged
from tune.tracking.schema import SOURCE, Tag

RUNNING: Final = RunStatus.to_string(RunStatus.RUNNING)
_OWN: Final = (MLFLOW_PARENT_RUN_ID, Tag.KIND, Tag.NUMBER, Tag.IDENTITY)
"""Tags that no two runs share."""


class Runs:
    """The runs of an experiment, which is made unless it is there.

    Args:
        client: MLflow's.
        experiment: The experiment's name.
    """

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self.client = client
        self.experiment_id = self._experiment(experiment)
        # Without it the user interface takes the experiment for one with language models.
        client.set_experiment_tag(
            self.experiment_id, Tag.EXPERIMENT_KIND, "custom_model_development"
        )

    def create(self, name: str, tags: Mapping[str, str], at: int | None = None) -> str:
        """Id of the run with these tags; it starts at a time in ms since 1970, or now."""
        named = {MLFLOW_RUN_NAME: name, MLFLOW_SOURCE_NAME: SOURCE, **tags}

        def make() -> str:
            return str(self.client.create_run(self.experiment_id, at, named).info.run_id)

        def find() -> str | None:
            own = " and ".join(tagged(tag, tags[tag]) for tag in _OWN if tag in tags)
            found = find_runs(self.client, self.experiment_id, own)
            return str(found[0].info.run_id) if found else None

        return make_once(self.client, make, find)

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


def as_params(values: Mapping[str, Any]) -> list[Param]:
    """Parameters as MLflow takes them."""
    return [Param(key, str(value)) for key, value in values.items()]


def as_tags(values: Mapping[str, Any]) -> list[RunTag]:
    """Tags as MLflow takes them."""
    return [RunTag(key, str(value)) for key, value in values.items()]
