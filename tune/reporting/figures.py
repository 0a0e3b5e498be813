"""The figures of a report. Optuna's own where it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Final

import numpy as np
import plotly.graph_objects as go
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.visualization import (
    plot_contour,
    plot_parallel_coordinate,
    plot_param_importances,
    plot_slice,
)
from scipy.interpolate import griddata

from trainable.predictions import Predictions
from tune.reporting.data import common_epoch, comparable_study
from tune.reporting.results import SearchResults
from tune.study.trial import METRIC, TrialLog

STATES: Final = {"COMPLETE": "#2e7d32", "PRUNED": "#ef9a1a", "FAIL": "#c62828"}
"""Colours of trials, by their state."""

_BINS: Final = 15
_GRID: Final = 60
"""Lines of the contours' grid, each way."""
_MANY: Final = 4
"""Trials below which nothing can be said of what mattered."""


def figures(results: SearchResults) -> dict[str, go.Figure]:
    """All figures that a search has, by their titles, in the order of the page."""
    study, names = comparable_study(results), results.dataset.classes
    at = f"validation accuracy after epoch {common_epoch(results)}"
    made: dict[str, Callable[[], go.Figure | None]] = {
        "Optimization history": lambda: history(results),
        "Learning curves": lambda: learning_curves(results.trials),
        "Train and validation": lambda: gap(results),
        "What mattered": lambda: importances(study),
        "Parallel coordinates": lambda: plot_parallel_coordinate(study, target_name=at),
        "Slices": lambda: plot_slice(study, target_name=at),
        "Contours": lambda: contours(study, at),
        "The finalists": lambda: finalists(results),
        "Confusion": lambda: None if results.test is None else confusion(names, results.test),
        "Precision and recall": lambda: None if results.test is None else per_class(results),
        "Calibration": lambda: None if results.test is None else calibration(results.test),
    }
    found = {title: make() for title, make in made.items()}
    return {title: figure for title, figure in found.items() if figure is not None}


def history(results: SearchResults) -> go.Figure:
    """Every trial's best score, and the best so far."""
    figure = go.Figure()
    for state, colour in STATES.items():
        logs = [log for log in results.trials if log.state.name == state]
        figure.add_scatter(
            x=[log.number for log in logs],
            y=[log.score for log in logs],
            mode="markers",
            name=state.lower(),
            marker={"color": colour, "size": 9},
            text=[_params(log) for log in logs],
        )
    complete = [log for log in results.trials if log.state.name == "COMPLETE"]
    best = list(accumulate((log.score or 0.0 for log in complete), max))
    figure.add_scatter(
        x=[log.number for log in complete],
        y=best,
        mode="lines",
        name="best so far",
        line_shape="hv",
    )
    return _labelled(figure, "trial", "best validation accuracy")


def learning_curves(trials: Iterable[TrialLog]) -> go.Figure:
    """Each trial's validation accuracy, epoch by epoch."""
    figure = go.Figure()
    for log in trials:
        figure.add_scatter(
            x=list(range(1, len(log.epochs) + 1)),
            y=[epoch.metrics[METRIC] for epoch in log.epochs],
            mode="lines+markers",
            name=f"trial {log.number}",
            line={"color": STATES.get(log.state.name), "width": 1.5},
            opacity=0.7,
            text=_params(log),
            showlegend=False,
        )
    return _labelled(figure, "epoch", "validation accuracy")


def gap(results: SearchResults) -> go.Figure:
    """Training against validation accuracy at each trial's best epoch."""
    figure = go.Figure()
    for state, colour in STATES.items():
        logs = [log for log in results.trials if log.state.name == state]
        figure.add_scatter(
            x=[log.best_epoch.metrics["train_acc"] for log in logs],
            y=[log.best_epoch.metrics[METRIC] for log in logs],
            mode="markers",
            name=state.lower(),
            marker={"color": colour, "size": 9},
            text=[f"trial {log.number}<br>{_params(log)}" for log in logs],
        )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="no gap", line={"dash": "dot", "color": "gray"}
    )
    return _labelled(figure, "training accuracy", "validation accuracy")


def importances(study: Study) -> go.Figure | None:
    """How much each key mattered, over all trials at the same epoch."""
    if not _can_weigh(study):
        return None
    figure = plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return figure.update_layout(yaxis_title=None, xaxis_title="importance")


def contours(study: Study, target: str) -> go.Figure | None:
    """The scores over the two keys that mattered most."""
    if not _can_weigh(study) or len(study.trials[0].params) < 2:
        return None
    weights = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    figure = plot_contour(study, params=list(weights)[:2], target_name=target)
    _thin_out(figure)
    return figure


def _thin_out(figure: go.Figure) -> None:
    """Give the surface of many trials a grid of its own.

    Optuna's has a line for each trial, of whose cells nearly all are empty, and the browser takes
    seconds to fill them. Here they are filled linearly between trials, and nowhere else.
    """
    surface, axes = figure.data[0], (figure.layout.xaxis, figure.layout.yaxis)
    lines = [np.asarray(surface.x), np.asarray(surface.y)]
    if max(map(len, lines)) <= _GRID or any(line.dtype.kind not in "fi" for line in lines):
        return
    lines = [
        np.log10(line) if axis.type == "log" else line
        for line, axis in zip(lines, axes, strict=True)
    ]
    z = np.asarray(surface.z, dtype=float)
    row, column = np.nonzero(np.isfinite(z))
    trials = (lines[0][column], lines[1][row])
    grids = [np.linspace(line.min(), line.max(), _GRID) for line in lines]
    filled = griddata(trials, z[row, column], tuple(np.meshgrid(*grids)), rescale=True)
    x, y = (
        10**grid if axis.type == "log" else grid for grid, axis in zip(grids, axes, strict=True)
    )
    surface.update(x=x, y=y, z=filled, connectgaps=False)


def _can_weigh(study: Study) -> bool:
    """Whether there is enough to tell which key mattered."""
    return len(study.trials) >= _MANY and len({trial.value for trial in study.trials}) > 1


def finalists(results: SearchResults) -> go.Figure | None:
    """The finalists' scores under other seeds, beside the score that chose them."""
    confirmed = [finalist for finalist in results.finalists if finalist.runs]
    if not confirmed:
        return None
    figure = go.Figure()
    names = [f"trial {finalist.trial.number}" for finalist in confirmed]
    figure.add_scatter(
        x=[name for name, f in zip(names, confirmed, strict=True) for _ in f.runs],
        y=[run.score for finalist in confirmed for run in finalist.runs],
        mode="markers",
        name="another seed",
        marker={"size": 9},
    )
    figure.add_scatter(
        x=names,
        y=[finalist.mean for finalist in confirmed],
        error_y={"array": [finalist.spread for finalist in confirmed]},
        mode="markers",
        name="their mean",
        marker={"symbol": "line-ew-open", "size": 26},
    )
    figure.add_scatter(
        x=names,
        y=[finalist.trial.score for finalist in confirmed],
        mode="markers",
        name="in the search",
        marker={"symbol": "star", "size": 12},
    )
    _labelled(figure, "", "best validation accuracy")
    return figure.update_layout(yaxis_tickformat=".1%")


def confusion(names: Sequence[str], test: Predictions) -> go.Figure:
    """Truth by row, answer by column, in images; where there are none, nothing is drawn."""
    counts = test.confusion()
    figure = go.Figure(
        go.Heatmap(
            z=np.where(counts, np.log1p(counts), np.nan),
            zmin=0,
            x=list(names),
            y=list(names),
            text=np.where(counts, counts.astype(str), ""),
            texttemplate="%{text}" if len(names) <= 20 else None,
            customdata=counts,
            hovertemplate="%{y} taken for %{x}: %{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale="Blues",
            showscale=False,
        )
    )
    figure.update_xaxes(type="category", showgrid=False)  # classes may be called 0 to 9
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    figure.update_layout(height=max(420, 26 * len(names) + 140))
    return _labelled(figure, "answer", "truth")


def per_class(results: SearchResults) -> go.Figure:
    """Precision and recall of each class."""
    assert results.test is not None
    table = results.test.per_class(results.dataset.classes)
    figure = go.Figure()
    for name in ("precision", "recall"):
        figure.add_bar(x=list(table), y=[row[name] for row in table.values()], name=name)
    figure.update_xaxes(type="category")
    return _labelled(figure, "class", "share")


def calibration(test: Predictions) -> go.Figure:
    """How often it is right, by how sure it is (Guo et al. 2017)."""
    confidence = test.probabilities.max(axis=1)
    bins = np.clip(np.ceil(confidence * _BINS).astype(int), 1, _BINS)
    used = [number for number in range(1, _BINS + 1) if (bins == number).any()]
    figure = go.Figure()
    figure.add_bar(
        x=[confidence[bins == number].mean() for number in used],
        y=[test.right[bins == number].mean() for number in used],
        text=[int((bins == number).sum()) for number in used],
        width=0.8 / _BINS,
        name="images",
    )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="calibrated", line={"dash": "dot", "color": "gray"}
    )
    error = f"expected calibration error {test.calibration_error(_BINS):.3f}"
    return _labelled(figure, f"confidence ({error})", "share that is right")


def _labelled(figure: go.Figure, x: str, y: str) -> go.Figure:
    shares = {
        f"{axis}axis_tickformat": ".0%"
        for axis, title in {"x": x, "y": y}.items()
        if _is_share(title)
    }
    return figure.update_layout(xaxis_title=x, yaxis_title=y, **shares)


def _is_share(title: str) -> bool:
    return any(word in title for word in ("accuracy", "share", "confidence"))


def _params(log: TrialLog) -> str:
    return "<br>".join(
        f"{key} = {value:.3g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in log.params.items()
    )
