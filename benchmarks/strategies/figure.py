"""The regret against time, of all contestants and by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from contestants import STOCK, Contestant
from numpy.typing import NDArray

mpl.use("Agg")
from matplotlib import pyplot as plt

NAMED = 6
"""The contestants that have a color, besides stock: the best at the end."""


def draw(
    path: Path,
    tasks: Sequence[str],
    chosen: Sequence[Contestant],
    table: Mapping[tuple[str, str], NDArray[np.float64]],
    grid: NDArray[np.float64],
) -> None:
    """Draw them, one panel for the mean of the tasks and one for each.

    Args:
        path: Where the PNG goes.
        tasks: Their names.
        chosen: The contestants.
        table: The regrets, seeds x times.
        grid: The times, as shares of what there is.
    """
    curves = {
        (task, each.name): table[task, each.name].mean(0) for task in tasks for each in chosen
    }
    means = {each.name: np.mean([curves[t, each.name] for t in tasks], axis=0) for each in chosen}
    ranked = sorted(chosen, key=lambda each: float(means[each.name][-1]))
    named = [each.name for each in ranked[:NAMED]]
    named += [e.name for e in chosen if (e.default or e.name == STOCK) and e.name not in named]
    panels = {"mean of the tasks": means}
    panels |= {task: {each.name: curves[task, each.name] for each in chosen} for task in tasks}
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4 * columns, 3 * rows), sharex=True, squeeze=False
    )
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, (title, lines) in zip(axes.flat, panels.items(), strict=False):
        for name, line in lines.items():
            if name not in named:
                axis.plot(grid, line, color="0.85", linewidth=0.8, zorder=1)
        for number, name in enumerate(named):
            style = "k--" if name == STOCK else f"C{number}-"
            axis.plot(grid, lines[name], style, label=name)
        low = min(float(line[-1]) for line in lines.values())
        axis.set(title=title, yscale="log", ylim=(max(low, 0.01) * 0.8, 2))
        axis.grid(alpha=0.3)
    figure.supxlabel("time, as a share of what 20 random trials take to their end")
    figure.supylabel("normalized test regret (0: the best, 1: a config at random)")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.set_layout_engine("constrained")
    figure.savefig(path, dpi=110)
    plt.close(figure)
