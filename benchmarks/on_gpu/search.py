"""Whole searches on CIFAR-10 (JPEG), as a user runs them, and what the GPU does meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from on_gpu.section import Options, Part, run, start, tell
from on_gpu.smi import Sampler

REPOSITORY = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("search.yaml")
WEIGHTS = {
    "to_layer3": "resnet18-imagenet-to-layer3.pt",
    "complete": "resnet18-complete.pt",
}
"""The first lacks layer4; the layer4 of the second has seen CIFAR-10's training labels."""
NEEDED = ("ray", "mlflow", "optuna")
SMALL = (
    "data.image_size=16",
    "data.limit=300",
    "model.weights=random",
    "train.epochs=1",
    "budget.num_samples=2",
    "confirm.top_k=0",
)


def main(options: Options) -> None:
    """Search from either weights, then compare the store on and off."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        tell(skipped=f"without {', '.join(missing)}")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.quick or options.real is None:
            small = [*SMALL, *(["resources.gpu=0"] if options.cpu else [])]
            digits = REPOSITORY / "configs" / "digits.yaml"
            run(options, [Part("digits", 60, partial(search, digits, small, folder / "digits"))])
            return
        real, root = Path(options.real), unpack(options, folder)
        run(options, [*searches(real, root, folder), *stores(real, root, folder)])


def searches(real: Path, root: Path, folder: Path) -> list[Part]:
    """Twenty trials from each of the weights."""
    return [
        Part(
            name,
            120,
            partial(search, CONFIG, [f"data.root={root}", weights(real, name)], folder / name),
        )
        for name in WEIGHTS
    ]


def stores(real: Path, root: Path, folder: Path) -> list[Part]:
    """The same eight trials without the store, with an empty one and with a filled one."""
    words = [
        *(f"data.root={root}", weights(real, "to_layer3"), "budget.num_samples=8"),
        *("scheduler.name=fifo", "train.epochs=2", "registry.register_best=false"),
        *("space.model.unfreeze_depth={low: 1, high: 2}", "model.unfreeze_depth=1"),
        "space.augment.policy=[none, flip]",
        "augment.policy=flip",
        "cache.max_gb=40",
    ]
    store = {"TUNE_CACHE": str(folder / "store")}
    return [
        Part(
            f"store_{name}",
            60,
            partial(search, CONFIG, [*words, f"cache.enabled={on}"], folder / name, store),
        )
        for name, on in (("off", "false"), ("empty", "true"), ("filled", "true"))
    ]


def weights(real: Path, name: str) -> str:
    """The override that names weights."""
    return f"model.weights={real / 'weights' / WEIGHTS[name]}"


def unpack(options: Options, folder: Path) -> Path:
    """CIFAR-10 (JPEG) as an image folder."""
    begin = time.monotonic()
    with tarfile.open(Path(str(options.real)) / "data" / "cifar10-jpeg.tar.gz") as tar:
        tar.extractall(folder / "all", filter="data")
    (root,) = (folder / "all").iterdir()
    tell(unpack_s=round(time.monotonic() - begin, 1))
    return root


def search(
    config: Path, words: Sequence[str], folder: Path, environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a search in a folder of its own; returns what it came to.

    Raises:
        subprocess.CalledProcessError: It failed; its output has been printed.
    """
    folder.mkdir()
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])
        ),
        "TUNE_CACHE": str(folder / "store"),
        **(environment or {}),
    }
    command = [sys.executable, "-m", "tune.search", "--config", str(config), *words]
    begin = time.monotonic()
    with Sampler() as sampler:
        subprocess.run(command, cwd=folder, env=variables, check=True, stdout=sys.stderr)
    return {
        "wall_s": round(time.monotonic() - begin, 1),
        **record(folder),
        **sampler.figures(),
    }


def record(folder: Path) -> dict[str, Any]:
    """What a search recorded: accuracies, and how much was trained."""
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    (parent,) = client.search_runs(experiments, "tags.`tune.kind` = 'search'")
    trials = client.search_runs(experiments, "tags.`tune.kind` = 'trial'", max_results=1000)
    histories = [client.get_metric_history(run.info.run_id, "val_acc") for run in trials]
    first = min(run.info.start_time for run in trials)
    last = max(run.info.end_time for run in trials)
    states = [run.data.tags.get("tune.state", "") for run in trials]
    return {
        **{name: round(value, 4) for name, value in sorted(parent.data.metrics.items())},
        "trials": len(trials),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "trial_epochs": sum(map(len, histories)),
        "trials_s": round((last - first) / 1000, 1),
        "errors": sorted(
            {run.data.tags["tune.error"] for run in trials if "tune.error" in run.data.tags}
        ),
    }


if __name__ == "__main__":
    main(start())
