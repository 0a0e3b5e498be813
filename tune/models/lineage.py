"""Where a registered model comes from: the search that made it, and the images it was tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from trainable.config import DataConfig, TrialConfig
from trainable.data.datasets import Dataset, is_local, load_dataset
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from tune.base.errors import ConfigError, first_line
from tune.study.trial import Epoch, TrialLog, TrialState
from tune.tracking.evaluation import read_evaluation, read_predictions
from tune.tracking.queries import child_of
from tune.tracking.tags import SearchTags, TrialTags, VersionTags

MOST_TRIALS: Final = 200
"""Trials of a search that are read: the best, each by a request of its own."""

_TRIAL: Final = "trial"
_STATES: Final = {state.name: state for state in TrialState}


@dataclass(frozen=True, eq=False)
class Origin:
    """The search that a registered model comes from.

    Attributes:
        search: Its name.
        objective: What it was after.
        trials: Its trials, of which each epoch has its value of the objective and nothing else; the
            best :data:`MOST_TRIALS` if there are more.
        test: The model's predictions on the test images, if they are recorded.
    """

    search: str
    objective: Objective
    trials: tuple[TrialLog, ...]
    test: Predictions | None


def read_origin(client: MlflowClient, version: ModelVersion) -> Origin:
    """What is recorded of the search that a version comes from.

    Raises:
        ConfigError: There is no record of it, or it cannot be read.
    """
    name = f"{version.name} version {version.version}"
    if not version.run_id:
        raise ConfigError(f"{name}: it comes from no recorded search")
    try:
        parent = client.get_run(version.run_id)
        objective = SearchTags.of(parent).objective
        test = _test(client, version)
        trials = tuple(_trials(client, parent, objective))
    except (MlflowException, OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{name}: the record of its search cannot be read: {error}") from error
    return Origin(str(parent.info.run_name), objective, trials, test)


def _test(client: MlflowClient, version: ModelVersion) -> Predictions | None:
    """The predictions, unless they are those of a later winner of the same search."""
    try:
        if not read_evaluation(client, version.run_id).is_of(version):
            return None
        return read_predictions(client, version.run_id)
    except (MlflowException, OSError):
        return None


def _trials(client: MlflowClient, parent: Run, objective: Objective) -> list[TrialLog]:
    runs = client.search_runs(
        [parent.info.experiment_id],
        child_of(parent.info.run_id, _TRIAL),
        max_results=MOST_TRIALS,
        order_by=[f"metrics.{objective.name} {'DESC' if objective.maximizes else 'ASC'}"],
    )
    logs = [_log(client, run, objective) for run in runs]
    return sorted((log for log in logs if log.epochs), key=lambda log: log.number)


def _log(client: MlflowClient, run: Run, objective: Objective) -> TrialLog:
    name, tags = objective.name, TrialTags.of(run)
    if tags is None:
        raise ValueError(f"run {run.info.run_id} is not a trial's")
    history = client.get_metric_history(run.info.run_id, name)
    by_step = {metric.step: metric for metric in sorted(history, key=lambda each: each.timestamp)}
    return TrialLog(
        number=tags.number,
        params=dict(run.data.params),
        started=run.info.start_time,
        epochs=[
            Epoch({name: by_step[step].value}, by_step[step].timestamp) for step in sorted(by_step)
        ],
        state=_STATES.get(tags.state or "", TrialState.RUNNING),
        objective=objective,
    )


class UnknownDataError(ConfigError):
    """A model's images are not available, for the reason given."""


@dataclass(frozen=True)
class RecordedData:
    """Images as a run names them.

    Attributes:
        config: Where they are, and how they are split.
        fingerprint: The test images'.
    """

    config: DataConfig
    fingerprint: str


def dataset_of(client: MlflowClient, version: ModelVersion) -> Dataset:
    """The images of a version, as the run of its best trial names them.

    Raises:
        UnknownDataError: No run names them, they are no longer here, or the test images are
            not those that it was tested on.
    """
    return read_again(recorded_data(client, version))


def same_dataset_of(client: MlflowClient, version: ModelVersion) -> Dataset:
    """The same, if not only the test images but all that its search saw are as they were then.

    Raises:
        UnknownDataError: They are not, or cannot be read.
    """
    dataset = dataset_of(client, version)
    try:
        then = SearchTags.of(client.get_run(version.run_id)).data
    except (MlflowException, KeyError) as error:
        raise UnknownDataError(f"its run does not name its images ({first_line(error)})") from error
    if dataset.fingerprint != then:
        raise UnknownDataError("its images have changed since")
    return dataset


def recorded_data(client: MlflowClient, version: ModelVersion) -> RecordedData:
    """What the record says of a version's images.

    Raises:
        UnknownDataError: It does not name them.
    """
    try:
        search, tags = client.get_run(version.run_id).info, VersionTags.of(version)
        if tags.best_trial is None:
            raise ValueError("the version names no trial")
        own = child_of(search.run_id, _TRIAL, tags.best_trial)
        (trial,) = map(TrialTags.of, client.search_runs([search.experiment_id], own))
        if trial is None:
            raise ValueError("its trial has no config")
        config = TrialConfig.recorded(trial.config)
        return RecordedData(config.data, read_evaluation(client, search.run_id).fingerprint)
    except (MlflowException, OSError, KeyError, ValueError) as error:
        reason = first_line(error)
        raise UnknownDataError(f"its run does not name its images ({reason})") from error


def read_again(data: RecordedData) -> Dataset:
    """Read images that are on this machine; nothing is downloaded.

    Raises:
        UnknownDataError: They are no longer here, or not the same.
    """
    if not is_local(data.config):
        raise UnknownDataError("its images are no longer here")
    try:
        dataset = load_dataset(data.config)
    except (ValueError, OSError) as error:
        raise UnknownDataError(f"its images are no longer here: {error}") from error
    if dataset.test_fingerprint() != data.fingerprint:
        raise UnknownDataError("its test images have changed since")
    return dataset
