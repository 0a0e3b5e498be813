"""Learns which points to try first, from the recorded curves of all tasks.

    python benchmarks/strategies/portfolio.py                       # of all tasks
    python benchmarks/strategies/portfolio.py --without digits      # as for a task that is new

Greedily: each point is the recorded config that, added to those before it, leaves the least
regret on average over the tasks, if of each task the best point is taken (Wistuba et al. 2015;
auto-sklearn 2, arXiv 2007.04074). What a config is worth on a task where it was not recorded says
the task's surrogate. The first point of a task is the recipe of its own preset, as in a search, so
that none is worse off than with it. Prints the others as a file of `configs/portfolios/`, in the
order in which they were chosen.
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
from curves import Surrogate
from numpy.typing import NDArray
from rows import file_of, read
from tasks import SPACE, TASKS, overlap

from trainable.config import ScheduleConfig
from tune.config.loading import load_config

CURVES: Final = Path(__file__).parent / "curves"

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


@dataclass(frozen=True)
class Point:
    """A point of the portfolio.

    Attributes:
        params: Its values.
        regret: The mean regret over the tasks that is left with it and those before it.
        best_on: The tasks where it is the best of these.
        reached: The test accuracy that it is expected to reach, by task.
    """

    params: Mapping[str, Any]
    regret: float
    best_on: Sequence[str]
    reached: Mapping[str, float]


def learn(surrogates: Sequence[Surrogate], size: int) -> list[Point]:
    """A portfolio for tasks that are like these.

    Args:
        surrogates: Of the tasks that are learned from.
        size: The number of points besides the recipe, which comes first.
    """
    candidates = _unique(each for known in surrogates for each in known.params)
    tests = np.array(
        [
            known.expected_test(
                [recipe(known.task), *(nearest(known.task, each) for each in candidates)]
            )
            for known in surrogates
        ]
    )
    regrets = normalized(tests)
    chosen = [0]  # the recipe, another one on each task
    while len(chosen) <= min(size, len(candidates)):
        chosen.append(greedy(regrets, chosen))
    return [
        _point(surrogates, candidates[each - 1], tests, regrets, chosen[: place + 1])
        for place, each in enumerate(chosen)
        if place > 0
    ]


def normalized(tests: NDArray[np.float64]) -> NDArray[np.float64]:
    """Regrets of test accuracies (tasks x candidates): 0 is the best, 1 what is usual."""
    best, usual = tests.max(1, keepdims=True), tests.mean(1, keepdims=True)
    return (best - tests) / np.maximum(best - usual, 1e-9)


def greedy(regrets: NDArray[np.float64], chosen: Sequence[int]) -> int:
    """The candidate that leaves the least, beside those that are chosen; of equals, the first."""
    so_far = regrets[:, list(chosen)].min(1, initial=math.inf)
    left = np.minimum(regrets, so_far[:, None]).mean(0)
    left[list(chosen)] = math.inf
    return int(left.argmin())


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
        why = f"Leaves a mean regret of {point.regret:.3f} beside those before it"
        if point.best_on:
            why += f", and is the best of them on {', '.join(point.best_on)}"
        lines += [f"  - name: learned_{place}", f"    why: {why}.", "    values:"]
        for key, value in point.params.items():
            lines.append(f"      {key}: {f'{value:.2g}' if isinstance(value, float) else value}")
        lines.append(f"    lr_at_batch: {point.params['train.batch_size']}")
    return "\n".join(lines)


def _point(
    surrogates: Sequence[Surrogate],
    params: Mapping[str, Any],
    tests: NDArray[np.float64],
    regrets: NDArray[np.float64],
    chosen: Sequence[int],
) -> Point:
    best = regrets[:, list(chosen)].argmin(1)
    names = [known.task for known in surrogates]
    on = [name for name, of in zip(names, best, strict=True) if of == len(chosen) - 1]
    regret = float(regrets[:, list(chosen)].min(1).mean())
    reached = dict(zip(names, tests[:, chosen[-1]].tolist(), strict=True))
    return Point(params, regret, on, reached)


def _unique(configs: Any) -> list[Mapping[str, Any]]:
    return list({repr(sorted(each.items())): each for each in configs}.values())


def main() -> None:
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
    given = parser.parse_args()
    names = [name for name in TASKS if not given.without or not overlap(name, given.without)]
    files = {name: file_of(given.curves, name) for name in names}
    surrogates = [Surrogate(read(path)) for path in files.values() if path.exists()]
    configs = sum(len(each.params) for each in surrogates)
    print(f"# Learned by benchmarks/strategies/portfolio.py from {configs} recorded configs of")
    print(f"# {', '.join(each.task for each in surrogates)}.")
    print(written(learn(surrogates, given.size)))


if __name__ == "__main__":
    main()
