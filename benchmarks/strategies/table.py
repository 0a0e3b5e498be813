"""What the replayed searches come to: regrets, and who is how far from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from answers import Landscape
from contestants import STOCK, Contestant
from rows import Array

Table = Mapping[tuple[str, str], Array]
"""Regrets by task and contestant, seeds x times."""

GRID: Final = np.linspace(0, 1, 101)[1:]
"""When the regret is looked at, as shares of the time."""


def regrets(
    landscape: Landscape, spread: float, steps: Sequence[tuple[float, float]], until: float
) -> Array:
    """What is left to the ceiling at the times of :data:`GRID`, in units of the task's spread."""
    times = np.array([0.0, *(at for at, _ in steps)])
    tests = np.array([landscape.nothing, *(test for _, test in steps)])
    last = np.searchsorted(times, GRID * until, side="right") - 1
    return (landscape.ceiling - tests[last]) / spread


def summary(chosen: Sequence[Contestant], table: Table, seeds: int) -> dict[str, Any]:
    """The last line: our default against stock and against the best that is not ours."""
    ends = final(chosen, table)
    ours = next((each.name for each in chosen if each.default), None)
    others = {each.name: ends[each.name] for each in chosen if not each.ours}
    line: dict[str, Any] = {"seeds": seeds, "regret": {k: round(v, 4) for k, v in ends.items()}}
    if ours is None or STOCK not in ends:
        return line
    best_other = min(others, key=lambda name: others[name])
    times = [
        time_to(table[task, ours], table[task, STOCK])
        for task in sorted({task for task, _ in table})
    ]
    return {
        "regret_over_stock": round(ends[ours] / ends[STOCK], 4),
        "regret_over_best_other": round(ends[ours] / others[best_other], 4),
        "time_to_stock": round(float(np.mean([ratio for ratio, _ in times])), 4),
        "tasks_that_reached_stock": f"{sum(was for _, was in times)} of {len(times)}",
        "ours": ours,
        "best_other": best_other,
        **line,
    }


def time_to(ours: Array, stock: Array) -> tuple[float, bool]:
    """When our mean regret is as low as stock's last, over when stock's is.

    Returns:
        The ratio, and whether ours was ever as low; where it was not, the ratio is of all the time
        that there was, which is too little.
    """
    mine, theirs = ours.mean(0), stock.mean(0)
    reached = bool(mine.min() <= theirs[-1])
    first = GRID[np.argmax(mine <= theirs[-1])] if reached else GRID[-1]
    return float(first / GRID[np.argmax(theirs <= theirs[-1])]), reached


def final(chosen: Sequence[Contestant], table: Table) -> dict[str, float]:
    """The mean regret at the end over tasks and seeds."""
    tasks = {task for task, _ in table}
    return {
        each.name: float(np.mean([table[task, each.name][:, -1].mean() for task in tasks]))
        for each in chosen
    }


def interval(ends: Sequence[Array], draws: int = 1000) -> tuple[float, float]:
    """Where 95 % of the means over tasks lie, if the seeds are drawn anew."""
    drawn = np.random.default_rng(0)
    means = np.zeros(draws)
    for values in ends:
        means += values[drawn.integers(len(values), size=(draws, len(values)))].mean(1)
    low, high = np.quantile(means / len(ends), [0.025, 0.975])
    return float(low), float(high)


def print_table(tasks: Sequence[str], chosen: Sequence[Contestant], table: Table) -> None:
    """Who has which regret where."""
    print(f"{'mean regret at the end':34s}", *(f"{task:>12s}" for task in tasks), "    mean  95 %")
    ends = final(chosen, table)
    for each in sorted(chosen, key=lambda one: ends[one.name]):
        row = [table[task, each.name][:, -1] for task in tasks]
        low, high = interval(row)
        mark = "*" if each.default else "+" if each.ours else " "
        values = " ".join(f"{values.mean():12.3f}" for values in row)
        print(f"{mark} {each.name:32s} {values} {ends[each.name]:8.3f}  {low:.3f} to {high:.3f}")
    print("* our default, + others of ours")
