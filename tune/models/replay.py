"""A recorded trial, rebuilt from MLflow alone and compared epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from trainable.config import TrialConfig
from trainable.data.datasets import load_dataset
from trainable.finetuner import FineTuner
from trainable.network.weights import first_weights_hash
from trainable.runtime import Runtime
from tune.base.errors import ConfigError, first_line
from tune.config.sections import CacheConfig
from tune.study.fingerprints import hash_of
from tune.tracking.schema import epoch_metric
from tune.tracking.server import check_tracking, full_uri, is_there, open_client, tracking_uri
from tune.tracking.tags import FactTags, SearchTags, TrialTags

COMPARED: Final = ("train_loss", "train_acc", "val_loss", "val_acc")

ACCURACY_TOLERANCE: Final = 0.02
LOSS_TOLERANCE: Final = 0.05
"""On another kind of processor: by how much an accuracy may differ, and by what share a loss.

Operations round otherwise there, and training amplifies it.
"""


@dataclass(frozen=True)
class RecordedTrial:
    """What MLflow has of a trial.

    Attributes:
        config: The trial's config.
        epochs: The metrics of each epoch, in order.
        precision: The precision it was computed in.
        threads: The threads of a CPU operation.
        micro_batches: The number of parts in which a batch passed the tail.
        compiled: Whether the trained layers were compiled.
        device: `cpu` or `cuda`.
        environment: What else decides its metrics, by name: processor, data and weights.
    """

    config: TrialConfig
    epochs: list[dict[str, float]]
    precision: str
    threads: int
    micro_batches: int
    compiled: bool
    device: str
    environment: dict[str, str]


def read_trial(run_id: str, uri: str | None = None) -> RecordedTrial:
    """Read a trial's run, and its search's.

    Args:
        run_id: The trial's run.
        uri: MLflow's tracking URI, if it is not what MLflow itself takes.

    Raises:
        ConfigError: There is no such run, or it is not a trial's.
    """
    check_tracking(tracking_uri(uri))
    if not is_there(uri):
        raise ConfigError(
            f"--from-run {run_id}: no search is recorded here ({full_uri(uri)}): run this in its "
            "folder, or set MLFLOW_TRACKING_URI"
        )
    client = open_client(uri)
    try:
        run = client.get_run(run_id)
        tags = TrialTags.of(run)
        if tags is None:
            raise ConfigError(f"--from-run {run_id}: this is not the run of a trial")
        parent = client.get_run(run.data.tags[MLFLOW_PARENT_RUN_ID])
        histories = {name: _history(client, run_id, name, tags.kind) for name in COMPARED}
    except MlflowException as error:
        raise ConfigError(f"--from-run {run_id}: {first_line(error)}") from error
    epochs = [
        {name: histories[name][index].value for name in COMPARED}
        for index in range(min(len(history) for history in histories.values()))
    ]
    if not epochs:
        raise ConfigError(f"--from-run {run_id}: no epoch of it is recorded")
    return _trial(run, tags, SearchTags.of(parent), epochs)


def _history(client: MlflowClient, run_id: str, name: str, kind: str) -> list[Metric]:
    """A metric of a trial's epochs; of older refits, by the name that it had."""
    found = client.get_metric_history(run_id, epoch_metric(name, kind))
    return list(found or client.get_metric_history(run_id, name))


def _trial(
    run: Run, tags: TrialTags, search: SearchTags, epochs: list[dict[str, float]]
) -> RecordedTrial:
    try:
        config = TrialConfig.recorded(tags.config)
    except ValueError as error:
        raise ConfigError(
            f"--from-run {run.info.run_id}: its config is not valid here: {first_line(error)}"
        ) from error
    facts = FactTags.of(run)
    return RecordedTrial(
        config=config,
        epochs=epochs,
        precision=facts.precision,
        threads=facts.threads,
        micro_batches=facts.micro_batches,
        compiled=facts.compiled,
        device=facts.device,
        environment={
            "processor": facts.processor,
            "data": search.data,
            "weights": hash_of(search.weights, config.model.weights[0], config.model.arch),
        },
    )


def rebuild(trial: RecordedTrial) -> FineTuner:
    """The trial before its first epoch, computed as it was.

    Raises:
        ConfigError: Its data or weights are not available.
    """
    resolved = {"precision": trial.precision, "compile": trial.compiled}
    train = {"train": {**trial.config.train.model_dump(), **resolved}}
    config = TrialConfig.model_validate({**trial.config.model_dump(), **train})
    runtime = Runtime(
        threads=trial.threads,
        use_gpu=trial.device == "cuda",
        cache_bytes=CacheConfig().max_bytes(on_gpu=False),
    )
    try:
        return FineTuner.on(runtime, config, trial.micro_batches)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def environment(tuner: FineTuner) -> dict[str, str]:
    """What else decides a trial's metrics here, as :class:`RecordedTrial` has it."""
    (weights,) = tuner.config.model.weights
    arch = tuner.config.model.arch
    return {
        "processor": tuner.device.identity,
        # As the search has it, which knows nothing of folds.
        "data": load_dataset(tuner.config.data.unfolded).fingerprint,
        "weights": "random" if weights == "random" else first_weights_hash(weights, arch),
    }


@dataclass(frozen=True)
class Difference:
    """The first epoch that is not as recorded.

    Attributes:
        epoch: Its number.
        metrics: Its metrics that differ, as recorded and as computed here.
        environment: What differs in the environment, as recorded and here.
    """

    epoch: int
    metrics: dict[str, tuple[float, float]]
    environment: dict[str, tuple[str, str]]

    def __str__(self) -> str:
        lines = [f"epoch {self.epoch} is not as recorded"]
        for name, (recorded, found) in self.metrics.items():
            lines.append(f"  {name}: {recorded} recorded, {found} here")
        for name, (there, here) in self.environment.items():
            lines.append(f"  another {name}: {there} recorded, {here} here")
        return "\n".join(lines)


def replay(
    trial: RecordedTrial, tuner: FineTuner, report: Callable[[int, dict[str, float]], Any]
) -> Difference | None:
    """Train a rebuilt trial, and compare.

    Args:
        trial: As recorded.
        tuner: As :func:`rebuild` made it.
        report: Called with each epoch and its metrics.

    Returns:
        The first epoch that differs: by anything on the same kind of processor, by more than
        the tolerance elsewhere.
    """
    here = environment(tuner)
    exact = here["processor"] == trial.environment["processor"] and trial.device == "cpu"
    for epoch, recorded in enumerate(trial.epochs, 1):
        found = tuner.train_epoch()
        report(epoch, found)
        wrong = {
            name: (recorded[name], found[name])
            for name in COMPARED
            if not _alike(name, recorded[name], found[name], exact=exact)
        }
        if wrong:
            others = {
                name: (value, here[name])
                for name, value in trial.environment.items()
                if value != here[name]
            }
            return Difference(epoch, wrong, others)
    return None


def _alike(name: str, recorded: float, found: float, *, exact: bool) -> bool:
    if exact:
        return recorded == found
    if name.endswith("acc"):
        return abs(recorded - found) <= ACCURACY_TOLERANCE
    return math.isclose(recorded, found, rel_tol=LOSS_TOLERANCE, abs_tol=LOSS_TOLERANCE)
