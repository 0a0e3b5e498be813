"""Whether a head that starts as a linear classifier (`model.head=probe`, LP-FT) pays on small data.

    TUNE_REAL_DATA=FOLDER python benchmarks/first_heads.py
    TUNE_REAL_DATA=FOLDER python benchmarks/first_heads.py --quick

`TUNE_REAL_DATA` is a folder that holds `data/` and `weights/`. Training sets are drawn anew from
all ants and bees, with other images to judge by. On each, for each depth and learning rate, two
trials differ in the head's first weights alone; each is judged by those images after the epoch that
its validation split chose. No other task has weights that are complete and have not seen it.

A learning rate for each depth would decide the answer, so there are three, and beside the gain at
each, that of the best rate by validation: what a search that tries both would see.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Final

from small_data import (
    Point,
    Task,
    best_of,
    compare,
    curve,
    forget,
    options,
    paired,
    tuner_of,
)

DEPTHS: Final = (1, 2, 5)
RATES: Final = (3e-4, 1e-3, 3e-3)


def main() -> None:
    """Compare, and print a table and one line of JSON."""
    given = options(__doc__, 4, "one draw, one epoch").parse_args()
    given.only = "hymenoptera"
    draws = 1 if given.quick else given.draws
    compare(given, draws, partial(drawing, quick=given.quick), summary)


def drawing(task: Task, folder: Path, real: Path, number: int, *, quick: bool) -> list[Point]:
    """The figures on one drawing, for each depth and rate."""
    forget()
    images, points = task.draw(folder, real, number), []
    for depth in DEPTHS:
        for rate in RATES:
            point: Point = {"draw": number, "depth": depth, "rate": rate}
            for head in ("random", "probe"):
                config = task.config(
                    images,
                    real,
                    depth,
                    model={"head": head},
                    optim={"lr": rate},
                    train={"seed": number, **({"epochs": 1} if quick else {})},
                )
                tuner = tuner_of(config, folder / "store")
                epochs, tests = [], []
                for metrics in curve(tuner):
                    epochs.append(metrics)
                    tests.append(tuner.evaluate("test").accuracy)
                best = best_of(epochs)
                point |= {head: tests[best], f"{head}_val": epochs[best]["val_acc"]}
            points.append(point)
    return points


def summary(points: list[Point]) -> list[dict[str, float | str]]:
    """The gains at each depth and rate, and at the best rate of each drawing and depth."""
    lines, cells = [], defaultdict(list)
    for point in points:
        cells[point["depth"], point["rate"]].append(point)
    for (depth, rate), found in cells.items():
        if len(found) > 1:
            name = f"depth {depth:.0f}, rate {rate:g}: probe - random"
            lines.append(paired(name, *([each[h] for each in found] for h in ("probe", "random"))))
    chosen: dict[str, list[float]] = {"probe": [], "random": []}
    drawn = defaultdict(list)
    for point in points:
        drawn[point["draw"], point["depth"]].append(point)
    for found in drawn.values():
        for head, scores in chosen.items():
            scores.append(max(found, key=lambda point: point[f"{head}_val"])[head])
    return [*lines, paired("best rate by validation: probe - random", *chosen.values())]


if __name__ == "__main__":
    main()
