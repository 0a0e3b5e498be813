"""Does each trial of a search replay, from MLflow alone?

    python benchmarks/replays.py     # about 10 minutes; --quick: 4 small trials

Runs the default search in an empty folder, then `python -m tune.debug --from-run` of each of its
trials and of its finalists' runs, and prints what it said of each; last, one line of JSON.
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

from mlflow import MlflowClient
from searches import versions

REPOSITORY = Path(__file__).parents[1]
SMALL = ("--num-samples", "4", "data.image_size=16", "data.limit=300", "train.epochs=2")


def main() -> None:
    """Run a search and replay each of its trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four small trials")
    words = SMALL if parser.parse_args().quick else ()
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, "tune.search", *words)
        client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        experiments = [found.experiment_id for found in client.search_experiments()]
        found = client.search_runs(experiments, "tags.`tune.config` != ''", max_results=1000)
        passed = 0
        for each in sorted(found, key=lambda run: str(run.info.run_name)):
            start = time.monotonic()
            told = run(folder, "tune.debug", "--from-run", each.info.run_id)
            passed += told.startswith("PASS")
            print(f"{each.info.run_name} {time.monotonic() - start:5.1f} s  {told}", flush=True)
    print(json.dumps({"replayed": len(found), "passed": passed}))


def run(folder: Path, module: str, *words: str) -> str:
    """Run a command; returns its last line."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


if __name__ == "__main__":
    main()
