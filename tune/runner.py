"""A search from its config to its registered model: the parts, put together."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import optuna
from optuna.study import Study
from optuna.trial import TrialState
from ray.tune import (
    CheckpointConfig,
    RunConfig,
    TuneConfig,
    Tuner,
    with_resources,
)
from ray.tune.experiment import Trial
from rich.console import Console

from trainable.config import ModelConfig
from trainable.datasets import load_dataset
from trainable.pretrained import resolve_weights
from trainable.ray_trainable import FineTuneTrainable
from tune.checkpoints import DropUnneeded
from tune.cluster import TrialResources, fit_resources, start_ray
from tune.config import SearchConfig
from tune.loading import ConfigError
from tune.outcome import Outcome, winner_of
from tune.progress import Progress
from tune.recording import MlflowCallback, RecordWriter
from tune.scheduler import build_scheduler
from tune.searcher import StudySearcher, create_study

HOME = Path("mlruns")
"""Where studies and checkpoints are kept, beside MLflow's artifacts."""


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
    home = (HOME / "searches" / name).resolve()
    if home.exists():
        raise ConfigError(f"--name {name}: {home} is there already; choose another")
    config = _settle(config, console)
    start_ray()
    resources = fit_resources(config.resources)
    console.print(f"trials   {config.budget.num_samples}, {resources.describe()}")
    study = create_study(config, name, config.tracking.study or _default_study())
    writer = RecordWriter(config, name)
    status = "FAILED"
    try:
        outcome = _search(config, study, home, resources, writer, console)
        if outcome.winner is not None:
            outcome = _conclude(config, outcome, writer)
            status = "KILLED" if outcome.interrupted else "FINISHED"
        return outcome
    finally:
        writer.finish().close(status)


def _conclude(config: SearchConfig, outcome: Outcome, writer: RecordWriter) -> Outcome:
    from tune.conclusion import conclude  # with MLflow, which the record's thread has by now

    return conclude(config, outcome, writer.finish())


def _quieten() -> None:
    """Leave the terminal to the progress."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
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
    home: Path,
    resources: TrialResources,
    writer: RecordWriter,
    console: Console,
) -> Outcome:
    """Run the trials: a study proposes, a scheduler stops the weak, the callbacks tell."""
    searcher = StudySearcher(study, config, home, resources.memory_fraction)
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
                name=home.name,
                storage_path=str(home.parent),
                callbacks=[MlflowCallback(writer), progress, DropUnneeded()],
                checkpoint_config=CheckpointConfig(
                    checkpoint_at_end=False
                ),  # trials keep their own
                verbose=0,
            ),
        )
        results = tuner.fit()
        searcher.close()
        counts = progress.counts()
    return Outcome(counts, _is_interrupted(config, counts, progress.elapsed), winner_of(results))


def _folder_name(trial: Trial) -> str:
    return Path(trial.config["folder"]).name


def _default_study() -> str:
    HOME.mkdir(exist_ok=True)
    return f"sqlite:///{HOME / 'optuna.db'}"


def _is_interrupted(config: SearchConfig, counts: Counter[TrialState], elapsed: float) -> bool:
    ended = sum(count for state, count in counts.items() if state.is_finished())
    out_of_time = config.budget.time is not None and elapsed >= config.budget.time
    return ended < config.budget.num_samples and not out_of_time
