"""Replays strategies on recorded learning curves, in simulated time.

    python benchmarks/strategies/replay.py                   # 1,000 seeds of each
    python benchmarks/strategies/replay.py --quick           # a few, under four minutes
    python benchmarks/strategies/replay.py --validate        # how good the surrogate is
    python benchmarks/strategies/replay.py --only GP random --seeds 20

Each contestant searches each task of `curves/` through the sampler, the scheduler and the ledger
that a real search has, for as long as twenty random trials take to their end (with `--trials 6`,
six), two at once (with `--concurrent 8`, eight at once). Whatever was learned was learned from
photographs, without the task that is searched and without those that share images with it. A
contestant's regret is how far the test accuracy of its best epoch (by validation) is from the best
that a recorded config is expected to reach, as a share of what lies between that and a random
config: 0 is the best, 1 is a config at random; a refit may be below 0.

Prints the mean regret at the end by task and contestant, with a 95 % interval of the mean over
tasks (bootstrap over the seeds; the tasks are given), draws the regret against time, and prints
last a line of JSON. There `time_to_stock` is the mean over the tasks where our default's regret
came as low as stock's at its end; `never_as_good_as_stock` names the others, and `behind_stock`
those where ours was the larger at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # each process works for itself

import numpy as np
import optuna
from answers import Landscape
from confirming import Finish, Finished, finished
from contestants import CONTESTANTS, Contestant
from curves import Surrogate
from portfolio import CURVES, Teacher, learn
from rows import FOLDED, Array, file_of, read
from table import GRID, print_table, regrets, summary
from tasks import TASKS, teachers

from tune.strategy.budget import CONFIRM_SHARE, RUNS_SHARE
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.trial import TrialLog

TRIALS: Final = 20
"""Trials to their end that the time is enough for, where nothing else is asked for."""
LARGEST_PORTFOLIO: Final = 8
QUICK_SEEDS: Final = 3
MARGIN: Final = 1.1
"""What is held back for finalists, over what others took."""


@dataclass(frozen=True)
class Terms:
    """Under which terms all search.

    Attributes:
        concurrent: How many trials run at once.
        trials: How many random ones, run to their end, the time is enough for.
        share: What part of it the finalists' runs may take.
    """

    concurrent: int = 2
    trials: int = TRIALS
    share: float = RUNS_SHARE


USUAL: Final = Terms()

Work = tuple[str, tuple[str, ...], Terms, range]
"""The folder of curves, the contestants, the terms, and the seeds."""


def main(words: Sequence[str] | None = None) -> None:
    """Replay them all."""
    given = _arguments(words)
    if given.validate:
        from validation import validate  # noqa: PLC0415 - of which a replay needs nothing

        validate(given.curves)
        return
    seeds = given.seeds or (QUICK_SEEDS if given.quick else 1000)
    chosen = [each for each in CONTESTANTS if given.all or _is_chosen(each, given.only)]
    start = time.time()
    span = range(given.first, given.first + seeds)
    terms = Terms(given.concurrent, given.trials, given.share)
    table = replay(given.curves, chosen, terms, span, given.processes)
    tasks = tasks_in(given.curves)
    print_table(tasks, chosen, table)
    if given.figure:
        from figure import draw  # noqa: PLC0415 - matplotlib takes its time

        draw(given.figure, tasks, chosen, table, GRID)
    print(
        f"{seeds} seeds of {len(chosen)} contestants on {len(tasks)} tasks, "
        f"{given.concurrent} trials at once, time for {given.trials}: {time.time() - start:.0f} s"
    )
    print(json.dumps(summary(chosen, table, seeds)))


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SEEDS} seeds")
    parser.add_argument("--seeds", type=int, help="by default 1,000")
    parser.add_argument(
        "--first", type=int, default=0, help="the first seed: others judge a choice"
    )
    parser.add_argument("--concurrent", type=int, default=2, help="trials at once")
    parser.add_argument("--trials", type=int, default=TRIALS, help="that there is time for")
    parser.add_argument(
        "--share", type=float, default=RUNS_SHARE, help="of the time, for confirming"
    )
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--only", nargs="*", default=[], help="contestants, by the name's start")
    parser.add_argument("--all", action="store_true", help="GP and the oracles too")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--figure", type=Path, help="where the figure goes, a PNG")
    parser.add_argument("--validate", action="store_true", help="judge the surrogate instead")
    return parser.parse_args(words)


def replay(
    folder: Path, chosen: Sequence[Contestant], terms: Terms, seeds: range, processes: int = 1
) -> dict[tuple[str, str], Array]:
    """The regrets of contestants over time.

    Args:
        folder: Where the curves are.
        chosen: The contestants.
        terms: Under which they search.
        seeds: The seeds of the searches of each on each task.
        processes: How many searches are simulated at once.

    Returns:
        By task and contestant an array of seeds x :data:`GRID`.
    """
    names = tuple(each.name for each in chosen)
    size = max(1, min(25, len(seeds) // (4 * processes)))
    blocks = [seeds[place : place + size] for place in range(0, len(seeds), size)]
    work: list[Work] = [(str(folder), names, terms, block) for block in blocks]
    if processes == 1:
        _quietly()
        found = [_replayed(each) for each in work]
    else:
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes, initializer=_quietly) as pool:
            found = pool.map(_replayed, work, chunksize=1)
    return {key: np.concatenate([block[key] for block in found]) for key in found[0]}


def search(
    task: str,
    landscape: Landscape,
    contestant: Contestant,
    seed: int,
    terms: Terms = USUAL,
    until: float = math.inf,
    learned: Sequence[Mapping[str, Any]] = (),
) -> tuple[float, list[tuple[float, float]]]:
    """One search of a contestant, until its time is over.

    Args:
        task: What is searched.
        landscape: What its trials report.
        contestant: Who searches.
        seed: Of the proposals.
        terms: Under which it searches.
        until: The simulated seconds that there are.
        learned: The portfolio.

    Returns:
        The simulated seconds until its last report, and the steps: simulated seconds, and the
        test accuracy of what was the best by validation from then on.
    """

    def searched(last: float) -> tuple[Ledger, float, list[tuple[float, float]]]:
        return _searched(task, landscape, contestant, seed, terms.concurrent, last, learned)

    # Held back is what the end will take, as a search with a time budget does: of so many trials at
    # first, and once these finalists are known to take longer, of them. If that is more than a
    # search holds back, they run under one other seed, or it is the refit's alone.
    whole = contestant.finish.on(landscape)
    wanted = (whole, whole.least, Finish(refit=whole.refit))
    for finish in filter(None, dict.fromkeys(wanted)):
        held = finish.runs / terms.trials * until if until < math.inf else 0.0
        held = min(held, CONFIRM_SHARE * until)
        for _ in range(2):
            ledger, end, steps = searched(until - held)
            found = finished(ledger, finish, landscape, terms.concurrent)
            if found is None or _is_too_long(found, terms, until):
                break
            if (last := end + found.seconds) <= until:
                return last, [*steps, (last, found.test)]
            held = MARGIN * found.seconds
    _, end, steps = searched(until)  # what does not fit is left out
    return end, steps


def _is_too_long(found: Finished, terms: Terms, until: float) -> bool:
    """Whether the end of a search takes more of its time than it may."""
    return found.seconds > CONFIRM_SHARE * until or found.confirming > terms.share * until


def _searched(
    task: str,
    landscape: Landscape,
    contestant: Contestant,
    seed: int,
    concurrent: int,
    until: float,
    learned: Sequence[Mapping[str, Any]],
) -> tuple[Ledger, float, list[tuple[float, float]]]:
    """The trials of a search: its ledger, when they ended, and the steps."""
    landscape.forget()
    ledger, scheduler = contestant.open(task, seed, learned)
    best, steps = (-math.inf, -math.inf), list[tuple[float, float]]()

    def watch(now: float, log: TrialLog) -> None:
        nonlocal best
        test = landscape(log.params)[len(log.epochs) - 1]["test_acc"]
        metrics = log.epochs[-1].metrics
        rank = (test, 0.0) if contestant.oracle else ledger.objective.rank(metrics)
        if rank > best:
            best = rank
            steps.append((now, test))

    end = simulate(ledger, scheduler, landscape, concurrent, until=until, watch=watch)
    return ledger, end, steps


def tasks_in(folder: Path) -> list[str]:
    """The tasks that have curves."""
    return [name for name in TASKS if file_of(folder, name).exists()]


def _is_chosen(contestant: Contestant, only: Sequence[str]) -> bool:
    if only:
        return any(contestant.name.startswith(start) for start in only)
    return not contestant.slow


def _replayed(work: Work) -> dict[tuple[str, str], Array]:
    folder, names, terms, seeds = work
    chosen = [each for each in CONTESTANTS if each.name in names]
    found: dict[tuple[str, str], list[Array]] = {}
    for seed in seeds:
        for key, values in _of_seed(folder, chosen, terms, seed):
            found.setdefault(key, []).append(values)
    return {key: np.array(values) for key, values in found.items()}


def _of_seed(
    folder: str, chosen: Sequence[Contestant], terms: Terms, seed: int
) -> Iterator[tuple[tuple[str, str], Array]]:
    for task, known in _surrogates(folder).items():
        until, spread = _time(folder, task, terms), _spread(folder, task)
        for each in chosen:
            landscape = known.landscape(seed)
            learned = _learned(folder, task) if each.learned else ()
            samples = fitting(folder, task, each.name, terms) if each.fitted else each.samples
            sized = replace(each, samples=samples)
            _, steps = search(task, landscape, sized, seed, terms, until, learned)
            yield (task, each.name), regrets(landscape, spread, steps, until)


def surrogate_of(folder: Path, task: str) -> Surrogate:
    """What is known of a task, from a folder of curves."""
    folded = file_of(folder / FOLDED, task)
    return Surrogate(read(file_of(folder, task)), read(folded) if folded.exists() else ())


@cache
def _surrogates(folder: str) -> dict[str, Surrogate]:
    path = Path(folder)
    return {task: surrogate_of(path, task) for task in tasks_in(path)}


@cache
def _learned(folder: str, task: str) -> list[Mapping[str, Any]]:
    """The portfolio that photographs teach which share none with this task."""
    files = [file_of(Path(folder), name) for name in teachers(task)]
    others = [Teacher(read(path)) for path in files if path.exists()]
    return [point.params for point in learn(others, LARGEST_PORTFOLIO - 1)]


@cache
def _spread(folder: str, task: str) -> float:
    """What lies between the best config and a random one, on average over landscapes."""
    known = _surrogates(folder)[task]
    landscapes = [known.landscape(seed) for seed in range(200)]
    return float(np.mean([each.ceiling - each.floor for each in landscapes]))


@cache
def _time(folder: str, task: str, terms: Terms) -> float:
    """The mean time that random trials take, run to their end, so many at once."""
    known, trials = _surrogates(folder)[task], replace(CONTESTANTS[0], samples=terms.trials)
    seeds = range(1_000_000, 1_000_016)
    return float(np.mean([search(task, known.landscape(s), trials, s, terms)[0] for s in seeds]))


@cache
def fitting(folder: str, task: str, name: str, terms: Terms) -> int:
    """How many trials of a contestant fit into the time on average."""
    (contestant,) = (each for each in CONTESTANTS if each.name == name)
    known, until = _surrogates(folder)[task], _time(folder, task, terms)
    learned = _learned(folder, task) if contestant.learned else ()
    samples = 2 * terms.trials
    for _ in range(3):  # the time is nearly a multiple of the trials
        tried = replace(contestant, samples=samples)
        taken = [
            search(task, known.landscape(s), tried, s, terms, learned=learned)[0]
            for s in range(2_000_000, 2_000_008)
        ]
        samples = max(2, int(samples * until / float(np.mean(taken))))
    return samples


def _quietly() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


if __name__ == "__main__":
    main()
