"""What a result and a proposal cost the driver as a study grows, and how many trials it can serve.

    python benchmarks/scale.py                        # studies of 100, 300 and 1,000 trials, SQLite
    python benchmarks/scale.py --study postgresql+psycopg://tune@127.0.0.1:5432/scale
    python benchmarks/scale.py --quick                # 100 alone

Trials are simulated: nothing is trained, and there is no Ray. What is timed is what the driver
itself does for each result (the scheduler's decision, the study's transaction, what is deleted at a
trial's end) and for each new trial (the sampler's proposal, its transaction). All of it is one
thread's work, so that the sum for a trial, over the seconds that it runs, is the share of that
thread which a running trial takes; the inverse is the number of trials that it can serve at once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from searches import versions

from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.engine.watchers import DropUnneeded
from tune.strategy.choice import Choice
from tune.strategy.portfolio import open_search
from tune.strategy.scheduling import build_scheduler
from tune.strategy.simulation import simulate
from tune.study.folder import SearchFolder
from tune.study.search import Search

EPOCHS, EPOCH_SECONDS, CONCURRENT, MEASURED = 9, 10.0, 16, 24
FACTS = {"device": "cpu", "precision": "fp32", "threads": 1, "micro_batches": 1, "compiled": False}


def main() -> None:
    """Print a row for each size of a study, and then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", help="a database that may be filled; by default SQLite's")
    parser.add_argument("--sampler", default="tpe", help="joint_tpe, tpe, gp or random")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--quick", action="store_true", help="100 trials alone")
    given = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        url = given.study or f"sqlite:///{folder}/study.db"
        for size in [100] if given.quick else given.sizes:
            row = measured(url, f"scale-{size}-{os.getpid()}", size, given.sampler, Path(folder))
            rows.append(row)
            print(", ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)
    database = url.partition(":")[0].partition("+")[0]
    print(json.dumps({"database": database, "sampler": given.sampler, "sizes": rows}))


def measured(url: str, name: str, size: int, sampler: str, folder: Path) -> dict[str, float]:
    """Milliseconds of the driver's at a study of a size, once it has that many trials."""
    grow(url, name, size, "random", folder, {})
    spent: dict[str, list[float]] = {"proposal": [], "decision": [], "result": [], "end": []}
    grow(url, name, size + MEASURED, sampler, folder, spent)
    milliseconds = {f"{what}_ms": 1000 * statistics.mean(each) for what, each in spent.items()}
    results = len(spent["result"]) / MEASURED
    a_trial = sum(sum(each) for each in spent.values()) / MEASURED
    return {
        "trials": size,
        **{what: round(value, 2) for what, value in milliseconds.items()},
        "results_a_trial": round(results, 2),
        "trials_served": round(results * EPOCH_SECONDS / a_trial),
    }


def grow(
    url: str, name: str, size: int, sampler: str, folder: Path, spent: Mapping[str, list[float]]
) -> None:
    """Let a simulated search go on until it has a number of trials, and note what it spends."""
    search = search_of(url, name, size, sampler)
    ledger, scheduler = open_search(search), build_scheduler(search.config)
    drop = DropUnneeded(SearchFolder(name, folder), "trial", 2, Choice.of(search))
    end = ledger.end

    def ended(number: int, *words: Any, **named: Any) -> None:
        end(number, *words, **named)
        drop.changed(ledger.trials[number])

    timed(ledger, "begin", spent.get("proposal"), ledger.begin)
    timed(ledger, "add_epoch", spent.get("result"), ledger.add_epoch)
    timed(ledger, "end", spent.get("end"), ended)
    timed(scheduler, "decide", spent.get("decision"), scheduler.decide)
    simulate(ledger, scheduler, curve, CONCURRENT)


def search_of(url: str, name: str, size: int, sampler: str) -> Search:
    """A search of the digits, whose study lies at a URL."""
    words = [f"budget.num_samples={size}", f"train.epochs={EPOCHS}", f"sampler.name={sampler}"]
    config: SearchConfig = load_config(None, words)
    tracking = config.tracking.model_copy(update={"study": url})
    config = config.model_copy(update={"tracking": tracking})
    return Search(name=name, config=config, data_fingerprint="", weights_hash=None, identity=name)


def timed(owner: object, name: str, spent: list[float] | None, call: Callable[..., Any]) -> None:
    """Have a method note the seconds that it takes."""

    def call_timed(*words: Any, **named: Any) -> Any:
        with stopwatch(spent):
            return call(*words, **named)

    setattr(owner, name, call_timed)


@contextmanager
def stopwatch(spent: list[float] | None) -> Iterator[None]:
    """Note the seconds of the block."""
    start = time.perf_counter()
    yield
    if spent is not None:
        spent.append(time.perf_counter() - start)


def curve(params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What a trial reports, as a function of its values."""
    generator = random.Random(repr(sorted(params.items())))
    best = generator.uniform(0.5, 0.99)
    return [
        {
            "train_loss": 1.0,
            "train_acc": 0.5,
            "val_loss": 1.0 - best,
            "val_acc": best * (1 - 0.5 ** (epoch + 1)),
            "epoch_seconds": EPOCH_SECONDS * generator.uniform(0.8, 1.2),
            **FACTS,
            "processor": "none",
        }
        for epoch in range(EPOCHS)
    ]


if __name__ == "__main__":
    main()
