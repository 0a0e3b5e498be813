"""Learns which points to try first, from the recorded curves of the tasks of photographs.

    python benchmarks/strategies/portfolio.py > configs/portfolios/learned.yaml
    python benchmarks/strategies/portfolio.py --without hymenoptera     # as for a task that is new

Greedily: each point is the recorded config that, added to those before it, leaves the least
regret on average over the tasks, if of each task the best point is taken (Wistuba et al. 2015;
auto-sklearn 2, arXiv 2007.04074). Regret is of validation accuracy: the tasks' test images choose
nothing. What a config is worth on a task where it was not recorded says a forest that was fitted to
those that were. The first point of a task is the recipe of its own preset, as in a search, so that
none is worse off than with it. Prints the others as a file of `configs/portfolios/`, in the order
in which they were chosen.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rows import (
    FULL,
    Array,
    Record,
    columns_of,
    features,
    file_of,
    read,
    row_of,
    share_of,
    whole_runs,
)
from sklearn.ensemble import ExtraTreesRegressor
from tasks import SPACE, TASKS, teachers

from trainable.config import ScheduleConfig
from tune.config.loading import load_config
from tune.config.points import DEPTH

CURVES: Final = Path(__file__).parent / "curves"
TREES: Final = 200
HEADER: Final = """\
# Points that were good on the photographs of five tasks, of which four are drawn from CIFAR-10
# (JPEG): strategy.portfolio=learned. What a search tries first, after the config's own values.
# They were chosen by validation accuracy; of CIFAR-10 that is by images of its training split.
# Made again by
#   python benchmarks/strategies/portfolio.py > configs/portfolios/learned.yaml
"""

ONE_CYCLE_WARMUP: Final = ScheduleConfig().warmup_share
"""What the presets leave to the schedule."""


@cache
def _own(task: str) -> Mapping[str, Any]:
    if TASKS[task].archive is None:
        return load_config(Path("digits")).own
    return load_config(Path("image_folder"), ["data.root=."]).own


def recipe(task: str) -> dict[str, Any]:
    """The first point of a search of a task: that of the preset which its user would take."""
    values = {key: _own(task)[key] for key in SPACE}
    values["schedule.warmup"] = values["schedule.warmup"] or ONE_CYCLE_WARMUP
    return nearest(task, values)


INSTEAD: Final = {"flip": "none"}
"""What is nearest to a policy that a task's space lacks, as where a mirror image is another class;
none of the others mirrors alone."""


class Teacher:
    """What a task teaches: the validation accuracy that configs reach. Its test images say nothing.

    Args:
        records: The task's.

    Attributes:
        task: Its name.
        params: The recorded configs.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.task = str(records[0]["task"])
        runs = whole_runs(records)
        self.params = [run[0]["params"] for run in runs]
        reached = np.array([row_of(run) for run in runs])[:, columns_of(FULL, "val_acc")]
        forest = ExtraTreesRegressor(
            TREES, bootstrap=True, max_features=0.7, random_state=0, n_jobs=1
        )
        self._forest = forest.fit([features(each) for each in self.params], reached)

    def expected(self, params: Sequence[Mapping[str, Any]]) -> Array:
        """The validation accuracy that configs are expected to reach at full length."""
        return share_of(self._forest.predict([features(each) for each in params])[:, -1])


@dataclass(frozen=True)
class Point:
    """A point of the portfolio.

    Attributes:
        params: Its values.
        regret: The mean regret over the tasks that is left with it and those before it.
        best_on: The tasks where it is the best of these.
    """

    params: Mapping[str, Any]
    regret: float
    best_on: Sequence[str]


def learn(tasks: Sequence[Teacher], size: int) -> list[Point]:
    """A portfolio for tasks that are like these.

    Args:
        tasks: What is learned from.
        size: The number of points besides the recipe, which comes first.
    """
    candidates = _unique(each for known in tasks for each in known.params)
    reached = np.array(
        [
            known.expected([recipe(known.task), *(tried(known.task, each) for each in candidates)])
            for known in tasks
        ]
    )
    regrets = normalized(reached)
    chosen = [0]  # the recipe, another one on each task
    while len(chosen) <= min(size, len(candidates)):
        chosen.append(greedy(regrets, chosen))
    names = [known.task for known in tasks]
    return [
        _point(names, candidates[each - 1], regrets[:, chosen[: place + 1]])
        for place, each in enumerate(chosen)
        if place > 0
    ]


def normalized(reached: NDArray[np.float64]) -> NDArray[np.float64]:
    """Regrets of accuracies (tasks x candidates): 0 is the best, 1 what is usual."""
    best, usual = reached.max(1, keepdims=True), reached.mean(1, keepdims=True)
    return (best - reached) / np.maximum(best - usual, 1e-9)


def greedy(regrets: NDArray[np.float64], chosen: Sequence[int]) -> int:
    """The candidate that leaves the least, beside those that are chosen.

    Of equals it is the one that is best by itself: once each task has its best point, none leaves
    less than another. Of those that are equal in this too, the first.
    """
    so_far = regrets[:, list(chosen)].min(1, initial=math.inf)
    left = np.minimum(regrets, so_far[:, None]).mean(0)
    left[list(chosen)] = math.inf
    return int(np.lexsort((regrets.mean(0), left))[0])


def tried(task: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a search of a task tries for a point.

    The recipe alone, where the task's depths would have a rate for the head train layers too, or
    the other way: such a point is not tried (`tune/strategy/portfolio.py`).
    """
    found = nearest(task, params)
    return found if (found[DEPTH] == 0) == (params[DEPTH] == 0) else recipe(task)


def nearest(task: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A point's values, each as near as the task's space has it."""
    space = {**SPACE, **(TASKS[task].space or {})}
    found = {}
    for key, value in params.items():
        values = space[key]
        if isinstance(values, Mapping):
            found[key] = min(max(value, values["low"]), values["high"])
        elif value in values:
            found[key] = value
        elif isinstance(value, str):
            found[key] = INSTEAD[value]
        else:
            found[key] = min(values, key=lambda each: abs(each - value))
    return found


def written(points: Sequence[Point]) -> str:
    """The points as a portfolio's file, each with what it is there for."""
    lines = ["points:"]
    for place, point in enumerate(points, 1):
        why = "Is the best on average of what is left where each task has its best point"
        if point.best_on:
            why = f"Leaves a mean regret of {point.regret:.3f} beside those before it"
            why += f", and is the best of them on {', '.join(point.best_on)}"
        lines += [f"  - name: learned_{place}", f"    why: {why}.", "    values:"]
        for key, value in point.params.items():
            lines.append(f"      {key}: {f'{value:.2g}' if isinstance(value, float) else value}")
        lines.append(f"    lr_at_batch: {point.params['train.batch_size']}")
    return "\n".join(lines)


def _point(names: Sequence[str], params: Mapping[str, Any], regrets: NDArray[np.float64]) -> Point:
    """A point, by the regrets of those before it and its own, which is the last."""
    best, last = regrets.argmin(1), regrets.shape[1] - 1
    on = [name for name, of in zip(names, best, strict=True) if of == last]
    return Point(params, float(regrets.min(1).mean()), on)


def _unique(configs: Any) -> list[Mapping[str, Any]]:
    return list({repr(sorted(each.items())): each for each in configs}.values())


def main(words: Sequence[str] | None = None) -> None:
    """Learn and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=5, help="the number of points")
    parser.add_argument(
        "--without",
        metavar="TASK",
        choices=list(TASKS),
        help="leave it out, and what shares images with it",
    )
    parser.add_argument("--curves", type=Path, default=CURVES)
    given = parser.parse_args(words)
    files = [file_of(given.curves, name) for name in teachers(given.without)]
    tasks = [Teacher(read(path)) for path in files if path.exists()]
    configs = sum(len(each.params) for each in tasks)
    names = ", ".join(each.task for each in tasks)
    print(HEADER if given.without is None else f"# Learned without {given.without}.\n", end="")
    print(f"# Learned from {configs} recordings of configs on {names}.")
    print(written(learn(tasks, given.size)))


if __name__ == "__main__":
    main()
