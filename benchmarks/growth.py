"""What a trial costs the driver, and whether that grows with their number.

    python benchmarks/growth.py              # 400 trials
    python benchmarks/growth.py --quick      # 100

A head-only epoch on the digits takes about 0.02 s once the frozen layers' output is stored, so
the time between the ends of trials is what the search itself costs: the proposal, Ray, the
study and the MLflow record. Two trials run at once; the time a trial is divided by nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from searches import versions
from versus.sides import REPOSITORY, command


def main() -> None:
    """Run one long search of short trials and print its pace, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 trials")
    trials = 100 if parser.parse_args().quick else 400
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["-m", "tune.search", "--config", str(REPOSITORY / "configs" / "digits.yaml")]
        words += ["--num-samples", str(trials), "model.unfreeze_depth=0", "train.epochs=1"]
        words += ["confirm.top_k=0"]
        found = command(words, folder, TUNE_CACHE=str(folder / "store"))
        ends = ends_of_trials(folder)
    quarter = trials // 4
    pace = [round(later - earlier, 1) for earlier, later in zip(ends, ends[quarter:], strict=False)]
    quarters = pace[::quarter][:4]
    print(f"{found}; quarters of {quarter} trials: {quarters} s")
    print(
        json.dumps(
            {
                "trials": trials,
                "seconds_per_trial": round(found.trial_seconds / trials, 3),
                "last_over_first_quarter": round(quarters[-1] / quarters[0], 2),
            }
        )
    )


def ends_of_trials(folder: Path) -> list[float]:
    """Seconds at which trials ended, in order, after the time at which the first started."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`tune.kind` = 'trial'", max_results=10_000)
    first = min(run.info.start_time for run in runs)
    return [0.0, *sorted((run.info.end_time - first) / 1000 for run in runs)]


if __name__ == "__main__":
    main()
