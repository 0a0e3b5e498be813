"""The default search under other defaults: how long it takes, and what it finds by validation.

    python benchmarks/digits_defaults.py                        # two seeds, half an hour
    python benchmarks/digits_defaults.py --only now 40px --seeds 3
    python benchmarks/digits_defaults.py --quick

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

from trainable.judging.objective import Objective
from tune.tracking.schema import best, confirmed

DECAY: Final = "space.optim.weight_decay={low: 1e-5, high: 1e-1, log: true}"
"""Searches weight decay too."""

VARIANTS: Final[dict[str, tuple[str, ...]]] = {
    "now": (),
    "40px": ("data.image_size=40",),
    "48px, decay": ("data.image_size=48", DECAY),
    "later rung": ("scheduler.grace_epochs=2",),
}
"""Overrides of the preset by the name of the variant."""


def main() -> None:
    """Run them all and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="six trials, one seed, one variant")
    given = parser.parse_args()
    samples = 6 if given.quick else 20
    if given.quick:
        given.only, given.seeds = given.only[:1], 1
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in given.only}
    for seed in range(given.seeds):
        for name in given.only:
            with tempfile.TemporaryDirectory() as folder:
                row = search(Path(folder), (*VARIANTS[name], f"sampler.seed={seed}"), samples)
            rows[name].append(row)
            print(f"{name:18s} seed {seed}  {row}", flush=True)
    keys = rows[given.only[0]][0]
    summary = {
        name: {key: round(mean(row[key] for row in found), 4) for key in keys}
        for name, found in rows.items()
    }
    print(json.dumps(summary))


def search(folder: Path, words: tuple[str, ...], samples: int) -> dict[str, float]:
    """The seconds of one search, what it registered, and its winner under other seeds."""
    config = ["--config", str(REPOSITORY / "configs" / "digits.yaml")]
    variables = {"PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": str(folder / "store")}
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tune.search", *config, f"--num-samples={samples}", *words],
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
        "registered": round(float(version.tags[best(objective)]), 4),
        "confirmed": round(float(version.tags[confirmed(objective)]), 4),
    }


if __name__ == "__main__":
    main()
