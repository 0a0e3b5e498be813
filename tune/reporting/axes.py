"""What several figures have in common: titles, ticks, and colours that any page shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from plotly.graph_objects import Figure

SCALE: Final = ("#3f7fd0", "#b05cb8", "#e0641e")
"""Colours from low to high, each as legible on white as on black."""

_MOST_TICKS: Final = 8
_LOG_TICKS: Final = 4
"""Their numbers are long."""
_LONG: Final = 14
"""Characters of a key that a narrow figure has room for on a line."""
_BEYOND: Final = 0.02
"""How far an axis of shares goes beyond 0 and 1, so that no marker is cut."""
_STEPS: Final = (1, 2, 5)


def labelled(figure: Figure, x: str, y: str, percent: str = "") -> Figure:
    """Title the axes of a figure.

    Args:
        figure: The figure, which is changed.
        x: The title of its x axis.
        y: The title of its y axis.
        percent: Which of them are shares to be shown in percent: `x`, `y` or `xy`.
    """
    for axis in percent:
        figure.update_layout({f"{axis}axis": shares()})
    return figure.update_layout(xaxis_title=x, yaxis_title=y)


def shares() -> dict[str, Any]:
    """An axis in percent, which does not go on to where there is no share."""
    limits = {"clipmin": -_BEYOND, "clipmax": 1 + _BEYOND}
    return {"tickformat": ".2~%", "autorangeoptions": limits}


def counted(numbers: Iterable[float]) -> dict[str, Any]:
    """An axis with ticks at whole numbers only."""
    found = list(numbers)
    return {"tick0": 0, "dtick": whole_step(min(found), max(found)) if found else 1}


def whole_step(low: float, high: float) -> int:
    """The distance of whole numbers of which a few reach from one to the other."""
    least = max(1.0, (high - low) / _MOST_TICKS)
    power = int(10 ** math.floor(math.log10(least)))
    return next(step * power for step in (*_STEPS, 10) if step * power >= least)


def log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Ticks of a logarithmic axis: powers of ten, and a few between them where those are few."""
    low, high = min(values), max(values)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), _STEPS, range(1, 10)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        inside = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) > 1:
            thin = inside[:: -(-len(inside) // _LOG_TICKS)]
            return {"tickvals": thin, "ticktext": [f"{tick:g}" for tick in thin]}
    ends = {f"{end:.3g}": end for end in (low, high)}  # which may be one, or read as one
    return {"tickvals": list(ends.values()), "ticktext": list(ends)}


def broken(key: str) -> str:
    """A long key on two lines, so that it needs no more room than a narrow figure has."""
    return key.replace(".", ".<br>", 1) if len(key) > _LONG else key


def add_diagonal(figure: Figure, name: str, end: float = 1.0) -> None:
    """Draw the line on which both axes have the same value."""
    figure.add_scatter(
        x=[0, end], y=[0, end], mode="lines", name=name, line={"dash": "dot", "color": "gray"}
    )
