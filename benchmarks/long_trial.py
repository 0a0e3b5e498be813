"""What an epoch costs the driver, at the start of a trial and after a thousand epochs.

    python benchmarks/long_trial.py              # after 1,000 epochs
    python benchmarks/long_trial.py --quick      # after 200

Two trials of one study report an epoch in turn, one of them after a thousand; each is noted in
Optuna's storage and in MLflow's record, both in SQLite. No trial is trained.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from searches import versions

from tune.base.environment import prepare_environment
from tune.config.loading import load_config
from tune.strategy.portfolio import open_search
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.trial import FACTS, Decision

ROUNDS = 100
"""Epochs of each trial that are timed."""


def main() -> None:
    """Print what an epoch takes, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="after 200 epochs")
    before = 200 if parser.parse_args().quick else 1000
    prepare_environment()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        study, record = measure(Path(folder), before)
    for name, (late, early) in (("study", study), ("record", record)):
        print(f"{name}: {late:.1f} ms after {before} epochs, {early:.1f} ms at the start")
    ratios = {"study": study[0] / study[1], "record": record[0] / record[1]}
    print(json.dumps({"epochs": before, **{k: round(v, 2) for k, v in ratios.items()}}))


def measure(folder: Path, before: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Medians in ms of noting an epoch late and early, in the study and in the record."""
    from tune.tracking.record import SearchRecord  # noqa: PLC0415 - after the environment is set

    words = [f"tracking.{key}=sqlite:///{folder / file}" for key, file in FILES.items()]
    search = Search(
        name="long", config=load_config(None, words), data_fingerprint="", weights_hash=None
    )
    ledger = open_search(search)
    record = SearchRecord(search)
    for _ in range(2):
        ledger.begin()
    for _ in range(before):
        note(ledger, 0)
    record.sync(ledger)
    times: list[list[float]] = [[], [], [], []]
    for _ in range(ROUNDS):
        for number in (0, 1):
            start = time.perf_counter()
            note(ledger, number)
            noted = time.perf_counter()
            record.sync(ledger)
            times[number].append(noted - start)
            times[2 + number].append(time.perf_counter() - noted)
    late, early, record_late, record_early = (1000 * median(each) for each in times)
    return (late, early), (record_late, record_early)


FILES = {"study": "optuna.db", "uri": "mlflow.db"}


def note(ledger: Ledger, number: int) -> None:
    """Have a trial report its next epoch."""
    epoch = len(ledger.trials[number].epochs) + 1
    metrics = dict.fromkeys(ledger.objective.epoch_metrics, epoch / 10_000)
    ledger.add_epoch(number, epoch, metrics | dict.fromkeys(FACTS, "x"), Decision.GO_ON)


if __name__ == "__main__":
    main()
