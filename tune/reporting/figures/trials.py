"""The figures of a search's trials, of Optuna's own making where it has one.

A trial that was stopped has its last value, which is of an earlier epoch than that of one that was
not: taken as they are, they would say that whatever was stopped is bad by what it was stopped at,
and left out, that only the survivors matter. So the figures of Optuna's making compare the trials
by the value after the last epoch that all of them reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study, create_study
from optuna.trial import create_trial
from optuna.visualization import plot_contour, plot_param_importances
from scipy.interpolate import griddata

from trainable.judging.metrics import EPOCH_METRICS
from trainable.judging.objective import Objective
from tune.reporting.axes import add_diagonal, counted, labelled, shares
from tune.reporting.figures.keys import dress_axis
from tune.reporting.labels import plotly_text
from tune.reporting.results import SearchResults
from tune.study.distributions import distributions
from tune.study.trial import TrialLog

STATES: Final = {"COMPLETE": "#388e3c", "PRUNED": "#cc7a00", "FAIL": "#c62828"}
"""Colours of trials, by their state."""

STATES_CAPTION: Final = "Green trials completed, amber ones were pruned, red ones failed."

_GRID: Final = 60
"""Lines of the contours' grid, each way."""
_MANY: Final = 4
"""The number of trials below which no importance of a key is computed."""


def history(results: SearchResults) -> go.Figure:
    """Every trial's best value, and the best so far."""
    objective, figure = results.objective, go.Figure()
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
    scores = [objective.score(log.best_epoch.metrics) for log in complete]
    figure.add_scatter(
        x=[log.number for log in complete],
        y=list(accumulate(scores, max if objective.maximizes else min)),
        mode="lines",
        name="best so far",
        line_shape="hv",
    )
    figure.update_xaxes(counted(log.number for log in results.trials))
    return labelled(figure, "trial", f"best {objective.title()}", _percent(objective, "y"))


def learning_curves(trials: Iterable[TrialLog], objective: Objective) -> go.Figure:
    """Each trial's value, epoch by epoch."""
    figure, trials = go.Figure(), list(trials)
    for log in trials:
        figure.add_scatter(
            x=list(range(1, len(log.epochs) + 1)),
            y=[objective.score(epoch.metrics) for epoch in log.epochs],
            mode="lines+markers",
            name=f"trial {log.number}",
            line={"color": STATES.get(log.state.name), "width": 1.5},
            opacity=0.7,
            text=_params(log),
            showlegend=False,
        )
    figure.update_xaxes(counted(len(log.epochs) for log in trials))
    return labelled(figure, "epoch", objective.title(), _percent(objective, "y"))


def gap(results: SearchResults) -> go.Figure | None:
    """The values on training and on validation images at each trial's best epoch."""
    objective, figure = results.objective, go.Figure()
    train = objective.on("train")
    if train not in EPOCH_METRICS:
        return None
    for state, colour in STATES.items():
        logs = [log for log in results.trials if log.state.name == state]
        figure.add_scatter(
            x=[log.best_epoch.metrics[train] for log in logs],
            y=[log.score for log in logs],
            mode="markers",
            name=state.lower(),
            marker={"color": colour, "size": 9},
            text=[f"trial {log.number}<br>{_params(log)}" for log in logs],
        )
    end = 1.0 if objective.metric.is_share else max(log.score or 0.0 for log in results.trials)
    add_diagonal(figure, "no gap", end)
    return labelled(figure, objective.title("train"), objective.title(), _percent(objective, "xy"))


def compared(
    make: Callable[[Study, str], go.Figure | None],
) -> Callable[[SearchResults], go.Figure | None]:
    """What makes a figure of results, by what makes it of a study and the name of its values."""

    def made(results: SearchResults) -> go.Figure | None:
        target = f"{results.objective.title()} after epoch {results.common_epoch}"
        figure = make(comparable_study(results), target)
        if figure is not None and results.objective.metric.is_share:
            figure.for_each_yaxis(lambda axis: axis.update(shares()), {"title.text": target})
        return figure

    return made


def comparable_study(results: SearchResults) -> Study:
    """The trials as a study in which each has the value of the same epoch."""
    study = create_study(direction=results.objective.metric.goal)
    searched = {key: _as_text(one) for key, one in distributions(results.config.space).items()}
    for log in results.comparable:
        epoch = log.epochs[results.common_epoch - 1]
        study.add_trial(
            create_trial(
                value=results.objective.score(epoch.metrics),
                params={key: _text(value) for key, value in log.params.items()},
                distributions={key: searched[key] for key in log.params},
            )
        )
    return study


def _as_text(values: BaseDistribution) -> BaseDistribution:
    """A distribution whose choices Plotly shows as they are: a path may hold HTML."""
    if not isinstance(values, CategoricalDistribution):
        return values
    return CategoricalDistribution([_text(choice) for choice in values.choices])


def _text(value: Any) -> Any:
    return plotly_text(value) if isinstance(value, str) else value


def importances(study: Study, target: str) -> go.Figure | None:
    """How much each key mattered, over all trials at the same epoch."""
    keys = _weighable(study)
    if not keys:
        return None
    evaluator = PedAnovaImportanceEvaluator()
    figure = plot_param_importances(study, evaluator=evaluator, params=keys, target_name=target)
    most = max(figure.data[0].x)
    figure.update_xaxes(range=[0, 1.2 * most])  # else the number beside the longest bar is cut
    return figure.update_layout(yaxis_title=None, xaxis_title="importance")


def contours(study: Study, target: str) -> go.Figure | None:
    """The objective over the two most important keys."""
    keys = _weighable(study)
    if len(keys) < 2:
        return None
    weights = get_param_importances(study, params=keys, evaluator=PedAnovaImportanceEvaluator())
    figure = plot_contour(study, params=list(weights)[:2], target_name=target)
    _thin_out(figure)
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        dress_axis(axis, study)
    bar = figure.data[0].colorbar
    bar.title.text = target.replace(" after ", "<br>after ")
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


def _weighable(study: Study) -> list[str]:
    """The keys whose importances can be computed.

    Of a key that not all trials have, at least two must have it and two must not.
    """
    trials = study.trials
    if len(trials) < _MANY or len({trial.value for trial in trials}) < 2:
        return []
    having = Counter(key for trial in trials for key in trial.params)
    few = {1, len(trials) - 1}
    return [key for key, count in having.items() if count not in few]


def finalists(results: SearchResults) -> go.Figure | None:
    """The finalists' values when they ran again, beside the one by which they were chosen.

    All are those of the epoch that the search chose.
    """
    confirmed = [finalist for finalist in results.finalists if finalist.runs]
    if not confirmed:
        return None
    figure = go.Figure()
    names = [f"trial {finalist.trial.number}" for finalist in confirmed]
    again, over = ("folds", "folds") if confirmed[0].is_over_folds else ("other seeds", "seeds")
    figure.add_scatter(
        x=[name for name, f in zip(names, confirmed, strict=True) for _ in f.runs],
        y=[score for finalist in confirmed for score in finalist.scores],
        mode="markers",
        name=again,
        marker={"size": 9},
    )
    figure.add_scatter(
        x=names,
        y=[finalist.mean for finalist in confirmed],
        error_y={"array": [finalist.spread for finalist in confirmed]},
        mode="markers",
        name=f"mean over {over}",
        marker={"symbol": "line-ew-open", "size": 26},
    )
    figure.add_scatter(
        x=names,
        y=[finalist.trial.score for finalist in confirmed],
        mode="markers",
        name="in the search",
        marker={"symbol": "star", "size": 12},
    )
    return labelled(figure, "", results.objective.title(), _percent(results.objective, "y"))


def _percent(objective: Objective, axes: str) -> str:
    """Those axes if the objective is a share, else none."""
    return axes if objective.metric.is_share else ""


def _params(log: TrialLog) -> str:
    return "<br>".join(
        f"{key} = {value:.3g}" if isinstance(value, float) else f"{key} = {plotly_text(value)}"
        for key, value in log.params.items()
    )
