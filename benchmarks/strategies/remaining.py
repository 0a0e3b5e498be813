"""How right the remaining time is that a search shows, in searches on recorded curves.

    python benchmarks/strategies/remaining.py                  # 100 seeds of each task
    python benchmarks/strategies/remaining.py --seeds 10

Twenty trials, two at once, by the TPE and the schedulers that we ship. When a quarter, a half and
three quarters of a search are over, the estimate that the terminal shows then (without what follows
the trials) is compared with the time that its trials still took, and so is what was shown before:
the mean time of the trials that had ended. Errors are shares of the whole search's time and of what
was still to come; median and the 90th percentile over the searches.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from contestants import Contestant, asha, halving
from curves import Surrogate
from portfolio import CURVES
from rows import file_of, read
from tasks import TASKS

from tune.strategy.remaining import remaining_seconds
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.trial import TrialLog

SHARES: Final = (0.25, 0.5, 0.75)
CONCURRENT: Final = 2
TRIALS: Final = 20
SCHEDULERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "fifo": {"name": "fifo"},
    "asha": asha(),
    "asha from epoch 2": asha(2, 2),
    "halving": halving(3),
    "median": {"name": "median"},
}


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--curves", type=Path, default=CURVES)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = {
        name: Surrogate(read(file_of(given.curves, name)))
        for name in TASKS
        if file_of(given.curves, name).exists()
    }
    found = {}
    for name, scheduler in SCHEDULERS.items():
        contestant = Contestant(name, "tpe", scheduler, recipe=True, samples=TRIALS)
        searches = [
            watched(task, surrogate, contestant, seed)
            for task, surrogate in known.items()
            for seed in range(given.seeds)
        ]
        found[name] = summarized(np.array(searches))
        for share, row in zip(SHARES, found[name], strict=True):
            print(f"{name:18s} after {share:.0%}  {row}", flush=True)
    print(json.dumps(found))


def watched(
    task: str, surrogate: Surrogate, contestant: Contestant, seed: int
) -> list[tuple[float, float, float]]:
    """At each share of a search: the true remaining time, the estimate, and the one of before.

    All are shares of the whole.
    """
    ledger, scheduler = contestant.open(task, seed)
    seen = list[tuple[float, float, float]]()

    def watch(now: float, _: TrialLog) -> None:
        guess = remaining_seconds(ledger, scheduler, CONCURRENT)
        assert guess is not None
        seen.append((now, guess, before(ledger, now)))

    end = simulate(ledger, scheduler, surrogate.landscape(seed), CONCURRENT, watch=watch)
    rows = [next(each for each in seen if each[0] >= share * end) for share in SHARES]
    return [((end - now) / end, guess / end, former / end) for now, guess, former in rows]


def before(ledger: Ledger, now: float) -> float:
    """What was shown before: the time of an ended trial on average, for each that is left."""
    return now * (ledger.asked - ledger.ended) / ledger.ended if ledger.ended else np.nan


def summarized(searches: np.ndarray) -> list[dict[str, float]]:
    """The errors at each share; `searches` are searches x shares x (true, estimate, before)."""
    true, guess, former = np.moveaxis(searches, -1, 0)
    errors = {
        "of_whole": np.abs(guess - true),
        "of_rest": np.abs(guess - true) / np.maximum(true, 1e-9),
        "of_whole_before": np.abs(former - true),
    }
    return [
        {
            f"{name}_{label}": round(float(np.nanpercentile(values[:, place], rank)), 3)
            for name, values in errors.items()
            for label, rank in (("median", 50), ("p90", 90))
        }
        for place in range(len(SHARES))
    ]


if __name__ == "__main__":
    main()
