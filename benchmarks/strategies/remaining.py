"""How right the remaining time is that a search shows, in searches on recorded curves.

    python benchmarks/strategies/remaining.py                  # 100 seeds of each task
    python benchmarks/strategies/remaining.py --seeds 10
    python benchmarks/strategies/remaining.py --first 100 --seeds 12 --prior 8    # another weight

Twenty trials, two at once, by what the presets for images search with (a portfolio that was learned
without the task, joint TPE), under each scheduler that we ship. When a quarter, a half and three
quarters of a search are over, the estimate that the terminal shows then (without what follows the
trials) is compared with the time that its trials still took. Errors are shares of the whole
search's time and of what was still to come: their median and 90th percentile over the searches, and
of how many searches the first is below a fifth.

Beside it stands the same estimate by a *cost model*: the seconds of an epoch are not those of the
trials so far on average, but what a ridge regression on depth, policy, batch and the like expects
of each trial that has not reported yet, fitted to those that have.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from contestants import Contestant, asha, halving
from curves import Surrogate
from portfolio import CURVES, Teacher, learn
from rows import file_of, read
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tasks import TASKS, teachers

from tune.strategy import remaining
from tune.strategy.remaining import Course, remaining_seconds
from tune.strategy.schedulers import Scheduler
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.trial import TrialLog

SHARES: Final = (0.25, 0.5, 0.75)
CONCURRENT: Final = 2
TRIALS: Final = 20
LEARNED: Final = 6
"""The points of the portfolio, the recipe among them."""
COSTLY: Final = ("model.", "data.image_size", "train.batch_size", "augment.", "optim.name")
"""How the keys begin on which the time of an epoch may depend."""
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
    parser.add_argument("--first", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--prior", type=float, help="what the scheduler's own share weighs")
    parser.add_argument("--curves", type=Path, default=CURVES)
    given = parser.parse_args()
    if given.prior is not None:
        remaining.PRIOR_TRIALS = given.prior
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = {
        name: Surrogate(read(file_of(given.curves, name)))
        for name in TASKS
        if file_of(given.curves, name).exists()
    }
    points = {task: learned_without(task, given.curves) for task in known}
    found = {}
    for name, scheduler in SCHEDULERS.items():
        contestant = Contestant(name, "joint_tpe", scheduler, learned=LEARNED, samples=TRIALS)
        searches = [
            watched(task, surrogate, contestant, seed, points[task])
            for task, surrogate in known.items()
            for seed in range(given.first, given.first + given.seeds)
        ]
        found[name] = summarized(np.array(searches))
        for share, row in zip(SHARES, found[name], strict=True):
            print(f"{name:18s} after {share:.0%}  {row}", flush=True)
    print(json.dumps(found))


def learned_without(task: str, curves: Path) -> list[Mapping[str, Any]]:
    """The portfolio that photographs teach which share none with a task."""
    files = [file_of(curves, name) for name in teachers(task)]
    others = [Teacher(read(path)) for path in files if path.exists()]
    return [point.params for point in learn(others, LEARNED - 1)] if others else []


def watched(
    task: str,
    surrogate: Surrogate,
    contestant: Contestant,
    seed: int,
    points: Sequence[Mapping[str, Any]],
) -> list[tuple[float, float, float]]:
    """At each share of a search: the true remaining time, the estimate, and the cost model's.

    All are shares of the whole.
    """
    ledger, scheduler = contestant.open(task, seed, points)
    seen = list[tuple[float, float, float]]()

    def watch(now: float, _: TrialLog) -> None:
        guess = remaining_seconds(ledger, scheduler, CONCURRENT)
        assert guess is not None
        seen.append((now, guess, by_cost_model(ledger, scheduler)))

    end = simulate(ledger, scheduler, surrogate.landscape(seed), CONCURRENT, watch=watch)
    rows = [next(each for each in seen if each[0] >= share * end) for share in SHARES]
    return [((end - now) / end, guess / end, model / end) for now, guess, model in rows]


def by_cost_model(ledger: Ledger, scheduler: Scheduler) -> float:
    """The remaining seconds, by the seconds that a regression expects of each trial's epochs."""
    logs = list(ledger.trials.values())
    course = Course(scheduler, [log for log in logs if log.epochs])
    seconds = epoch_seconds(logs)
    rest = {
        log.number: course.expected(len(log.epochs), scheduler.longest, paused=log.is_paused)
        for log in logs
        if not log.state.is_finished()
    }
    weights = np.array([len(log.epochs) + rest.get(log.number, 0.0) for log in logs])
    usual = float(np.average([seconds[log.number] for log in logs], weights=weights))
    new = usual * course.expected(0, scheduler.longest)
    running = [seconds[number] * epochs for number, epochs in rest.items()]
    waiting = max(0, ledger.asked - len(logs))
    alone = (CONCURRENT - 1) / 2 * new if waiting else 0.0
    return max((sum(running) + new * waiting + alone) / CONCURRENT, *running, 0.0)


def epoch_seconds(logs: Sequence[TrialLog]) -> dict[int, float]:
    """The mean seconds of a trial's epochs by its number; expected of those without one."""
    known = {
        log.number: float(np.mean([epoch.metrics["epoch_seconds"] for epoch in log.epochs]))
        for log in logs
        if log.epochs
    }
    model = make_pipeline(DictVectorizer(sparse=False), StandardScaler(), Ridge())
    model.fit([costly(log.params) for log in logs if log.epochs], np.log(list(known.values())))
    least, most = min(known.values()), max(known.values())
    return known | {
        log.number: float(np.clip(np.exp(model.predict([costly(log.params)])[0]), least, most))
        for log in logs
        if not log.epochs
    }


def costly(params: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trial's values those on which the time of its epochs may depend."""
    return {key: value for key, value in params.items() if key.startswith(COSTLY)}


def summarized(searches: np.ndarray) -> list[dict[str, float]]:
    """The errors at each share; `searches` are searches x shares x (true, estimate, model's)."""
    true, guess, model = np.moveaxis(searches, -1, 0)
    errors = {
        "of_whole": np.abs(guess - true),
        "of_rest": np.abs(guess - true) / np.maximum(true, 1e-9),
        "of_whole_by_model": np.abs(model - true),
    }
    return [
        {
            f"{name}_{label}": round(float(np.percentile(values[:, place], rank)), 3)
            for name, values in errors.items()
            for label, rank in (("median", 50), ("p90", 90))
        }
        | {"within_a_fifth": round(float(np.mean(errors["of_whole"][:, place] < 0.2)), 3)}
        for place in range(len(SHARES))
    ]


if __name__ == "__main__":
    main()
