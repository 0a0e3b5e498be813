"""Runs the same trials on either side, each as a command of its own, and reads its record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient

from trainable.device import cpu_precision
from versus.material import Material

REPOSITORY = Path(__file__).parents[2]
TUTORIAL: dict[str, Any] = {"precision": "float32", "channels_last": False, "reuse_actors": False}
"""The plain program as tutorials write it."""
TUNED: dict[str, Any] = {
    "precision": {"bf16": "bf16", "fp32": "float32"}[cpu_precision("auto")],
    "channels_last": True,
    "reuse_actors": True,
}
"""The plain program with what makes it faster on this processor, and is a setting each."""


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        material: The images and weights.
        trials: Values of each trial, under their dotted keys.
        epochs: Of every trial.
        batch_size: Of every trial.
    """

    material: Material
    trials: Sequence[dict[str, Any]]
    epochs: int = 3
    batch_size: int = 64


@dataclass(frozen=True)
class Figures:
    """What a run came to.

    Attributes:
        command_seconds: Of the whole command, start-up and end included.
        trial_seconds: From the start of the first trial to the end of the last.
        epochs: Of all trials together.
        accuracies: On the validation images, after the last epoch, by the trial's values.
        best: The best of any epoch.
    """

    command_seconds: float
    trial_seconds: float
    epochs: int
    accuracies: dict[str, float]
    best: float

    @property
    def rate(self) -> float:
        """Trial-epochs per second."""
        return self.epochs / self.trial_seconds

    def __str__(self) -> str:
        return (
            f"{self.epochs} trial-epochs in {self.trial_seconds:.1f} s "
            f"({self.rate:.3f}/s; whole command {self.command_seconds:.0f} s)"
        )


def run_plain(plan: Plan, folder: Path, tuning: dict[str, Any]) -> Figures:
    """Run a plan with plain Ray Tune: two trials at once, each with a core and two loaders.

    Args:
        plan: What to run.
        folder: A new one to run in.
        tuning: `TUTORIAL` or `TUNED`.
    """
    material = plan.material
    settings = {
        **tuning,
        "root": str(material.root),
        "weights": str(material.weights),
        "image_size": material.image_size,
        "side": material.side,
        "mirror": material.mirror,
        "epochs": plan.epochs,
        "batch_size": plan.batch_size,
        "optimizer": "adam",
        "schedule": "cosine",
        "mixup": 0.0,
        "cpus": 1,
        "workers": 2,
        "trials": [{k.split(".")[1]: v for k, v in trial.items()} for trial in plan.trials],
    }
    return command(["benchmarks/versus/plain.py", settings_file(settings, folder)], folder)


def run_ours(plan: Plan, folder: Path, store: Path, *words: str, program: str = "") -> Figures:
    """Run a plan with this project.

    Args:
        plan: What to run.
        folder: An empty one to run in.
        store: Of the frozen layers' outputs; empty for a cold run.
        words: Overrides of the config.
        program: A script to run instead of `tune.search`, with the same arguments.
    """
    config = folder / "config.yaml"
    folder.mkdir(parents=True)
    config.write_text(yaml.safe_dump(search_config(plan)))
    start = [program] if program else ["-m", "tune.search"]
    return command([*start, "--config", str(config), *words], folder, TUNE_CACHE=str(store))


def search_config(plan: Plan) -> dict[str, Any]:
    """A search that tries the plan's trials, stops none of them, and registers nothing."""
    material = plan.material
    return {
        "name": "ours",
        "data": {
            "source": "image_folder",
            "root": str(material.root),
            "image_size": material.image_size,
            "mirror": material.mirror,
        },
        "model": {"weights": str(material.weights)},
        "optim": {"name": "adam"},
        "schedule": {"name": "cosine"},
        "train": {"epochs": plan.epochs, "batch_size": plan.batch_size},
        "space": {
            "optim": {
                "lr": {"low": 1e-5, "high": 1.0, "log": True},
                "weight_decay": {"low": 1e-8, "high": 1.0, "log": True},
            },
            "model": {"unfreeze_depth": {"low": 0, "high": 5}},
            "augment": {"policy": ["none", "flip", "flip_crop", "trivial", "rand"]},
        },
        "sampler": {"points": list(plan.trials)},
        "scheduler": {"name": "fifo"},
        "budget": {"num_samples": len(plan.trials)},
        "resources": {"cpu": 1, "gpu": 0},
        "registry": {"register_best": False},
    }


def settings_file(settings: dict[str, Any], folder: Path) -> str:
    """Write the settings of a plain program into its folder."""
    folder.mkdir(parents=True)
    path = folder / "settings.json"
    path.write_text(json.dumps(settings))
    return str(path)


def command(words: Sequence[str], folder: Path, **environment: str) -> Figures:
    """Run a Python command in `folder`, and read what it recorded in `mlflow.db` there."""
    script = [str(REPOSITORY / words[0])] if words[0].endswith(".py") else [words[0]]
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    with (folder / "output.txt").open("w") as output:
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, *script, *words[1:]],
            cwd=folder,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{Path(output.name).read_text()[-4000:]}")
    return figures(folder, seconds)


def figures(folder: Path, command_seconds: float) -> Figures:
    """Read the record of either side: the same runs, written by different callbacks."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = [
        run
        for run in client.search_runs(experiments, max_results=1000)
        if run.data.tags.get("tune.kind") not in {"search", "confirm"}
    ]
    first = min(run.info.start_time for run in runs)
    last = max(run.info.end_time for run in runs)
    histories = [client.get_metric_history(run.info.run_id, "val_acc") for run in runs]
    return Figures(
        command_seconds,
        (last - first) / 1000,
        sum(map(len, histories)),
        {_values(run.data.params): run.data.metrics["val_acc"] for run in runs},
        max(metric.value for history in histories for metric in history),
    )


def _values(params: dict[str, str]) -> str:
    """A trial's searched values, in one order, however its side names them."""
    short = {name.split(".")[-1].split("/")[-1]: value for name, value in params.items()}
    names = ("lr", "weight_decay", "unfreeze_depth", "policy")
    return " ".join(short[name] for name in names)
