"""The figures that have an axis for each searched key, of Optuna's making.

Optuna makes them for white paper and a wide window. What is changed here: ticks of whole numbers
and of powers of ten, colours that any page shows, and room for the names of keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.visualization import plot_parallel_coordinate, plot_slice
from plotly.colors import sample_colorscale

from tune.reporting.axes import SCALE, broken, counted, log_ticks, whole_step

_EACH: Final = 190
"""The least width of a key's part of a figure, in pixels."""
_BAR: Final = 160
"""The width of what stands beside these parts."""


def slices(study: Study, target: str) -> go.Figure:
    """The objective over each key."""
    figure = plot_slice(study, target_name=target)
    axes = list(figure.select_xaxes())
    for axis in axes:
        dress_axis(axis, study)
    scale = {"colorscale": list(SCALE), "colorbar.title.text": "trial"}
    numbers = counted([trial.number for trial in study.trials])
    for trace in figure.data:
        trace.marker.update(scale)
        trace.marker.colorbar.update(numbers)
        trace.marker.line.width = 0
    return figure.update_layout(width=_EACH * len(axes) + _BAR)


def dress_axis(axis: Any, study: Study) -> None:
    """Give the axis of a key, which its title names, its ticks and a title that is not wide."""
    key = axis.title.text
    if axis.plotly_name.startswith("x"):
        axis.title.text = broken(key)
    values = [trial.params[key] for trial in study.trials if key in trial.params]
    kinds = {type(value) for value in values}
    if _kinds(study).get(key) is CategoricalDistribution:
        # Optuna takes the representations of the choices for categories.
        names = list(axis.categoryarray or [repr(value) for value in dict.fromkeys(values)])
        axis.update(tickvals=names, ticktext=[name.strip("'") for name in names])
    elif axis.type == "log":
        axis.update(log_ticks(values))
    elif kinds == {int}:
        axis.update(counted(values))


def _kinds(study: Study) -> Mapping[str, type]:
    return {key: type(one) for trial in study.trials for key, one in trial.distributions.items()}


def parallel_coordinates(study: Study, target: str) -> go.Figure:
    """Every trial as a line through its values."""
    figure = plot_parallel_coordinate(study, target_name=target)
    *lines, bar = figure.data
    low = bar.marker.reversescale
    for line in lines:
        if line.y and line.y[0] is not None:
            place = 1 - line.y[0] if low else line.y[0]
            line.line.color = sample_colorscale(list(SCALE), [min(max(place, 0), 1)])[0]
            line.opacity = 0.85
    bar.marker.colorscale = list(SCALE)
    bar.marker.colorbar.title.text = target.replace(" after ", "<br>after ")
    keys = _whole_axes(figure, study)
    # Their colour is the page's.
    figure.update_annotations(font_size=11)
    axis = figure.layout.xaxis
    names = [name.replace(" after ", "<br>after ") for name in keys]
    axis.update(ticktext=[broken(name) for name in names], tickangle=0)
    return figure.update_layout(width=_EACH * len(names) + _BAR)


def _whole_axes(figure: go.Figure, study: Study) -> list[str]:
    """Put the ticks of keys that are whole numbers at whole numbers; returns the axes' names."""
    params = [trial.params for trial in study.trials]
    # Optuna shortens long names: the keys stand in its texts for the pointer.
    names = [target_or_key[0] for target_or_key in figure.data[0].customdata]
    keys = {key for each in params for key in each}
    full = [_full(name, keys) for name in names]
    kept = list(figure.layout.annotations)
    for place, key in enumerate(full):
        values = [each.get(key) for each in params]
        if not values or {type(value) for value in values} != {int}:
            continue
        low, high = min(values), max(values)
        if low == high:
            continue
        kept = [one for one in kept if one.x != place]
        like = {"showarrow": False, "xanchor": "right", "xshift": -4, "x": place}
        for tick in range(low, high + 1, whole_step(low, high)):
            y = float(np.interp(tick, [low, high], [0, 1]))
            kept.append(go.layout.Annotation(text=str(tick), y=y, **like))
    figure.layout.annotations = kept
    return full


def _full(name: str, keys: set[str]) -> str:
    """The key that Optuna has shortened to a name; the name itself if there is no such key."""
    begin = name.removesuffix("...")
    found = [key for key in keys if key == name or (begin != name and key.startswith(begin))]
    return found[0] if len(found) == 1 else name
