"""A search from its config to its registered model: the parts, put together."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from mlflow.entities import RunStatus
from optuna.study import Study
from optuna.trial import TrialState
from ray.tune import (
    ResultGrid,
    RunConfig,
    TuneConfig,
    Tuner,
    with_resources,
)
from ray.tune.experiment import Trial
from rich.console import Console

from trainable.array_store import open_store
from trainable.config import ModelConfig, TrialConfig
from trainable.datasets import load_dataset
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from trainable.metrics import Predictions
from trainable.pretrained import resolve_weights
from trainable.ray_trainable import FineTuneTrainable, read_checkpoint
from tune.checkpoints import DropPruned, checkpoint_config
from tune.cluster import TrialResources, fit_resources, start_ray
from tune.config import SearchConfig
from tune.loading import ConfigError
from tune.progress import Progress
from tune.registry import register
from tune.scheduler import build_scheduler
from tune.searcher import METRIC, StudySearcher, create_study, final_state
from tune.tracking import MlflowCallback, SearchRecord

HOME = Path("mlruns")
"""Where studies and checkpoints are kept, beside MLflow's artifacts."""


@dataclass(frozen=True)
class Winner:
    """The best trial of a search, at its best epoch.

    Attributes:
        number: Of the trial.
        trial_id: Ray's.
        config: The trial's.
        metrics: Of the best epoch.
        checkpoint: Folder of the state after it.
    """

    number: int
    trial_id: str
    config: TrialConfig
    metrics: dict[str, Any]
    checkpoint: Path


@dataclass(frozen=True)
class Outcome:
    """What a search came to.

    Attributes:
        counts: Trials by final state.
        interrupted: Whether it was stopped before its last trial.
        winner: The best trial, unless none was completed.
        test: The winner's predictions on the test split.
        version: Of the registered model, unless none was registered.
    """

    counts: dict[TrialState, int]
    interrupted: bool
    winner: Winner | None = None
    test: Predictions | None = None
    version: int | None = None


def run_search(config: SearchConfig, name: str, console: Console) -> Outcome:
    """Run a search, record it, and register its best checkpoint.

    Args:
        config: The search.
        name: Of the search; unique in Optuna's storage.
        console: Where progress is shown.

    Raises:
        ConfigError: The data, the weights or the resources cannot be had. Nothing has
            been written then.
    """
    _quieten()
    config = _settle(config, console)
    start_ray()
    resources = fit_resources(config.resources)
    console.print(f"trials   {config.budget.num_samples}, {resources.describe()}")
    study = create_study(config, name, config.tracking.study or _default_study())
    record = SearchRecord(config, name)
    status = RunStatus.FAILED
    try:
        outcome = _search(config, study, resources, record, console)
        if outcome.winner is not None:
            outcome = _conclude(config, outcome, record)
            status = RunStatus.KILLED if outcome.interrupted else RunStatus.FINISHED
        return outcome
    finally:
        record.close(status)


def _quieten() -> None:
    """Leave the terminal to the progress."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # A trial's error is told in its line and its run, not as a traceback in between.
    for name in ("ray.tune", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _settle(config: SearchConfig, console: Console) -> SearchConfig:
    """Check the data and choose the weights, once for all trials."""
    try:
        weights = resolve_weights(config.model.weights, config.model.arch)
        console.print(f"weights  {weights}")
        dataset = load_dataset(config.data)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    sizes = " + ".join(f"{len(dataset.split(part))} {part}" for part in ("train", "val", "test"))
    console.print(f"data     {config.data.source}: {sizes} images, {len(dataset.classes)} classes")
    if dataset.skipped:
        console.print(f"         {dataset.skipped} files are no images and were left out")
    model = ModelConfig(**{**config.model.model_dump(), "weights": weights})
    return config.model_copy(update={"model": model})


def _search(
    config: SearchConfig,
    study: Study,
    resources: TrialResources,
    record: SearchRecord,
    console: Console,
) -> Outcome:
    """Run the trials: a study proposes, a scheduler stops the weak, the callbacks tell."""
    searcher = StudySearcher(study, config, resources.memory_fraction)
    with Progress(config, console) as progress:
        tuner = Tuner(
            with_resources(FineTuneTrainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
            tune_config=TuneConfig(
                search_alg=searcher,
                scheduler=build_scheduler(config),
                num_samples=config.budget.num_samples,
                max_concurrent_trials=resources.concurrent,
                time_budget_s=config.budget.time,
                reuse_actors=True,
                trial_dirname_creator=_folder_name,
            ),
            run_config=RunConfig(
                name=study.study_name,
                storage_path=str((HOME / "searches").resolve()),
                callbacks=[MlflowCallback(record), progress, DropPruned()],
                checkpoint_config=checkpoint_config(),
                verbose=0,
            ),
        )
        results = tuner.fit()
        searcher.close()
        counts = progress.counts()
    return Outcome(counts, _is_interrupted(config, counts, progress.elapsed), _winner(results))


def _folder_name(trial: Trial) -> str:
    return f"trial-{trial.config['number']:03d}"


def _default_study() -> str:
    HOME.mkdir(exist_ok=True)
    return f"sqlite:///{HOME / 'optuna.db'}"


def _is_interrupted(config: SearchConfig, counts: Counter[TrialState], elapsed: float) -> bool:
    ended = sum(count for state, count in counts.items() if state.is_finished())
    out_of_time = config.budget.time is not None and elapsed >= config.budget.time
    return ended < config.budget.num_samples and not out_of_time


def _winner(results: ResultGrid) -> Winner | None:
    """The completed trial with the best epoch; among equals, of the lowest loss."""
    candidates = [
        (metrics, result, checkpoint)
        for result in results
        if final_state(result.metrics, error=result.error is not None) is TrialState.COMPLETE
        for checkpoint, metrics in result.best_checkpoints
    ]
    if not candidates:
        return None
    metrics, result, checkpoint = max(
        candidates, key=lambda found: (found[0][METRIC], -found[0]["val_loss"])
    )
    return Winner(
        number=result.config["number"],
        trial_id=metrics["trial_id"],
        config=TrialConfig.model_validate(result.config["trial"]),
        metrics=metrics,
        checkpoint=Path(checkpoint.path),
    )


def _conclude(config: SearchConfig, outcome: Outcome, record: SearchRecord) -> Outcome:
    """Test the winner, once, and register it."""
    winner = outcome.winner
    assert winner is not None
    device = resolve_device(
        winner.config.train.precision, config.resources.threads, use_gpu=config.resources.gpu != 0
    )
    store = open_store(config.cache.root, config.cache.max_bytes)
    tuner = FineTuner(winner.config, device, store)
    tuner.load_state_dict(read_checkpoint(winner.checkpoint))
    test = tuner.evaluate("test")
    scores = {
        "best_val_acc": winner.metrics[METRIC],
        "test_acc": test.accuracy,
        "test_loss": test.loss,
    }
    tags = {"tune.best_trial": winner.number, "tune.best_run": record.child(winner.trial_id)}
    record.log_summary(scores, tags)
    record.client.log_dict(record.run_id, test.summary(tuner.dataset.classes), "test.json")
    if not config.registry.register_best or outcome.interrupted:
        return replace(outcome, test=test)
    version_tags = {name: str(value) for name, value in {**scores, **tags}.items()}
    example = tuner.dataset.test.images[0]
    version = register(tuner.classifier(), example, config.model_name, record.run_id, version_tags)
    return replace(outcome, test=test, version=version)
