"""What the replayed searches come to: regrets, and who is how far from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from answers import Landscape
from contestants import PRESETS, STOCK, Contestant
from rows import Array
from tasks import teachers

NOTES: Final = f"""\
* our default, given the time; + others of ours; photos: the mean without the digits, whose preset
takes no portfolio; '{PRESETS}': of so many trials, as the presets have, which take less than the
time that the others have; confirmed: within the time, finalists run again under two other seeds
each, and a soup is made; as shipped: the same, and where the validation images
are few the winner is trained on all images instead; single: without the soup; refit: so trained on
every task; oracle: chosen by the test images"""

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
    """The last line: our default against stock and against the best that is not ours.

    Beside these, against the others' proposals if their searches ended as ours do.
    """
    ends = final(chosen, table)
    ours = next((each.name for each in chosen if each.default), None)
    others = {each.name: ends[each.name] for each in chosen if not each.ours}
    line: dict[str, Any] = {"seeds": seeds, "regret": {k: round(v, 4) for k, v in ends.items()}}
    if ours is None or STOCK not in ends:
        return line
    best_other = min(others, key=lambda name: others[name])
    tasks = sorted({task for task, _ in table})
    times = {task: time_to(table[task, ours], table[task, STOCK]) for task in tasks}
    reached = [ratio for ratio in times.values() if ratio is not None]
    finish = next(each.finish for each in chosen if each.default)
    alike = [each for each in chosen if each.finish == finish and not each.learned]
    return {
        "regret_over_stock": round(ends[ours] / ends[STOCK], 4),
        "regret_over_best_other": round(ends[ours] / others[best_other], 4),
        "time_to_stock": round(float(np.mean(reached)), 4) if reached else None,
        "never_as_good_as_stock": [task for task in tasks if times[task] is None],
        "behind_stock": [t for t in tasks if _end(table, t, ours) > _end(table, t, STOCK)],
        "ours": ours,
        "best_other": best_other,
        "regret_over_same_end": {e.name: round(ends[ours] / ends[e.name], 4) for e in alike},
        **line,
    }


def time_to(ours: Array, stock: Array) -> float | None:
    """When our mean regret is as low as stock's last, over when stock's is; None if it never is."""
    mine, theirs = ours.mean(0), stock.mean(0)
    if mine.min() > theirs[-1]:
        return None
    return float(GRID[np.argmax(mine <= theirs[-1])] / GRID[np.argmax(theirs <= theirs[-1])])


def final(
    chosen: Sequence[Contestant], table: Table, tasks: Sequence[str] | None = None
) -> dict[str, float]:
    """The mean regret at the end over seeds and tasks, by default all of them."""
    of = tasks or sorted({task for task, _ in table})
    return {
        each.name: float(np.mean([_end(table, task, each.name) for task in of])) for each in chosen
    }


def _end(table: Table, task: str, name: str) -> float:
    return float(table[task, name][:, -1].mean())


def interval(ends: Sequence[Array], draws: int = 1000) -> tuple[float, float]:
    """Where 95 % of the means over tasks lie, if the seeds are drawn anew."""
    drawn = np.random.default_rng(0)
    means = np.zeros(draws)
    for values in ends:
        means += values[drawn.integers(len(values), size=(draws, len(values)))].mean(1)
    low, high = np.quantile(means / len(ends), [0.025, 0.975])
    return float(low), float(high)


def apart(table: Table, tasks: Sequence[str], name: str, ours: str) -> tuple[float, float]:
    """Where 95 % of the mean differences to our default lie, if the seeds are drawn anew.

    Of a seed, both have searched the same landscapes.
    """
    return interval([table[task, name][:, -1] - table[task, ours][:, -1] for task in tasks])


def print_table(tasks: Sequence[str], chosen: Sequence[Contestant], table: Table) -> None:
    """Who has which regret where."""
    heads = " ".join(f"{task:>12s}" for task in tasks)
    ours = next((each.name for each in chosen if each.default), None)
    last = "less the default's" if ours else ""
    print(
        f"{'mean regret at the end':39s} {heads}   mean photos  95 % of the mean  {last}".rstrip()
    )
    ends = final(chosen, table)
    photographs = final(chosen, table, [task for task in teachers() if task in tasks] or tasks)
    for each in sorted(chosen, key=lambda one: ends[one.name]):
        row = [table[task, each.name][:, -1] for task in tasks]
        low, high = interval(row)
        mark = "*" if each.default else "+" if each.ours else " "
        values = " ".join(f"{values.mean():12.3f}" for values in row)
        means = f"{ends[each.name]:6.3f} {photographs[each.name]:6.3f}"
        line = f"{mark} {each.name:37s} {values} {means}  {low:.3f} to {high:.3f}"
        if ours and each.name != ours:
            low, high = apart(table, tasks, each.name, ours)
            line += f"   {low:+.3f} to {high:+.3f}"
        print(line)
    print(NOTES)
