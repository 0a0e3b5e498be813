"""The default search under other defaults: how long it takes, and what it finds by validation.

    python benchmarks/digits_defaults.py                        # two seeds, 45 minutes
    python benchmarks/digits_defaults.py --only now 32px --seeds 3

Whole commands, `python -m tune.search --config digits`, with an empty store each, one after the
other, all variants under one seed of the sampler and then under the next. What counts is the
accuracy of the winner under other seeds than those it was chosen by; the test images are not
looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Final

from mlflow import MlflowClient
from searches import versions
from versus.sides import REPOSITORY

from trainable.metrics import Objective
from tune.tracking.schema import best, confirmed

VARIANTS: Final[dict[str, tuple[str, ...]]] = {
    "now": (),
    "32px": ("data.image_size=32",),
    "40px": ("data.image_size=40",),
    "32px, later rung": ("data.image_size=32", "scheduler.grace_epochs=2"),
    "32px, no decay": ("data.image_size=32", "optim.weight_decay=1e-2"),
    "40px, no decay": ("data.image_size=40", "optim.weight_decay=1e-2"),
}
"""Overrides of the preset by the name of the variant. `no decay` does not search weight decay."""


def main() -> None:
    """Run them all and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in given.only}
    for seed in range(given.seeds):
        for name in given.only:
            with tempfile.TemporaryDirectory() as folder:
                row = search(Path(folder), (*VARIANTS[name], f"sampler.seed={seed}"))
            rows[name].append(row)
            print(f"{name:18s} seed {seed}  {row}", flush=True)
    keys = rows[given.only[0]][0]
    summary = {
        name: {key: round(mean(row[key] for row in found), 4) for key in keys}
        for name, found in rows.items()
    }
    print(json.dumps(summary))


def search(folder: Path, words: tuple[str, ...]) -> dict[str, float]:
    """The seconds of one search, the best of its trials, and its winner under other seeds."""
    config = ["--config", str(REPOSITORY / "configs" / "digits.yaml")]
    variables = {"PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": str(folder / "store")}
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tune.search", *config, *words],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (version,) = client.search_model_versions()
    objective = Objective.named("val_acc")
    return {
        "seconds": round(seconds, 1),
        "best": round(float(version.tags[best(objective)]), 4),
        "confirmed": round(float(version.tags[confirmed(objective)]), 4),
    }


if __name__ == "__main__":
    main()
