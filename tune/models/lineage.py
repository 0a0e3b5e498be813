"""Where a registered model comes from: what its search recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.trial import TrialState

from trainable.predictions import Predictions
from tune.errors import ConfigError
from tune.reporting.publishing import PREDICTIONS
from tune.study.trial import METRIC, Epoch, TrialLog

MOST_TRIALS: Final = 200
"""Of a search that are read: the best, each by a request of its own."""

_STATES: Final = {state.name: state for state in TrialState}


@dataclass(frozen=True, eq=False)
class Origin:
    """The search that a registered model comes from.

    Attributes:
        search: Its name.
        trials: Its trials, of which each epoch has a validation accuracy and nothing else; the
            best :data:`MOST_TRIALS` if there are more.
        test: The model's predictions on the test images, if they are recorded.
    """

    search: str
    trials: tuple[TrialLog, ...]
    test: Predictions | None


def read_origin(client: MlflowClient, version: ModelVersion) -> Origin:
    """What is recorded of the search that a version comes from.

    Raises:
        ConfigError: There is no record of it, or it is gone or of another make.
    """
    name = f"{version.name} version {version.version}"
    if not version.run_id:
        raise ConfigError(f"{name}: it comes from no recorded search")
    try:
        parent = client.get_run(version.run_id)
        test = _test(client, version)
        trials = tuple(_trials(client, parent))
    except (MlflowException, OSError) as error:
        raise ConfigError(f"{name}: the record of its search cannot be had: {error}") from error
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{name}: the record of its search cannot be read: {error}") from error
    return Origin(str(parent.info.run_name), trials, test)


def _test(client: MlflowClient, version: ModelVersion) -> Predictions | None:
    """The predictions, unless they are those of a later winner of the same search."""
    try:
        with TemporaryDirectory() as folder:
            path = client.download_artifacts(version.run_id, "test.json", folder)
            summary: dict[str, Any] = json.loads(Path(path).read_text())
            if not version.tags.items() >= summary["identity"].items():
                return None
            path = client.download_artifacts(version.run_id, PREDICTIONS, folder)
            return Predictions.load(Path(path))
    except (MlflowException, OSError):
        return None


def _trials(client: MlflowClient, parent: Run) -> list[TrialLog]:
    own = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}'"
    runs = client.search_runs(
        [parent.info.experiment_id],
        f"{own} and tags.`tune.kind` = 'trial'",
        max_results=MOST_TRIALS,
        order_by=[f"metrics.{METRIC} DESC"],
    )
    logs = [_log(client, run) for run in runs]
    return sorted((log for log in logs if log.epochs), key=lambda log: log.number)


def _log(client: MlflowClient, run: Run) -> TrialLog:
    history = client.get_metric_history(run.info.run_id, METRIC)
    told = {metric.step: metric for metric in sorted(history, key=lambda each: each.timestamp)}
    return TrialLog(
        number=int(run.data.tags["tune.number"]),
        params=dict(run.data.params),
        started=run.info.start_time,
        epochs=[Epoch({METRIC: told[step].value}, told[step].timestamp) for step in sorted(told)],
        state=_STATES.get(run.data.tags.get("tune.state", ""), TrialState.RUNNING),
    )
