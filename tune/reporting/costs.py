"""What the models of a search cost beside how good they are, and the Pareto front of both."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from tune.reporting.axes import labelled
from tune.reporting.figures.trials import STATES, STATES_CAPTION
from tune.reporting.results import SearchResults
from tune.study.trial import TrialLog, TrialState


def costs(results: SearchResults) -> go.Figure | None:
    """Every trial's best value against what its model costs, and the Pareto front."""
    if results.choice is None or not results.costs:
        return None
    objective, figure = results.objective, go.Figure()
    for state, colour in STATES.items():
        logs = [log for log in results.trials if log.state.name == state]
        figure.add_scatter(
            x=[results.costs[log.number] for log in logs],
            y=[log.score for log in logs],
            mode="markers",
            name=state.lower(),
            marker={"color": colour, "size": 9},
            text=[f"trial {log.number}" for log in logs],
        )
    front = pareto_front(results)
    figure.add_scatter(
        x=[results.costs[log.number] for log in front],
        y=[log.score for log in front],
        mode="lines",
        name="Pareto front",
        line_shape="hv",
    )
    percent = "y" if objective.metric.is_share else ""
    return labelled(figure, results.choice.unit, f"best {objective.title()}", percent)


def pareto_front(results: SearchResults) -> Sequence[TrialLog]:
    """The completed trials than which none is better and costs no more, the cheapest first."""
    front = list[TrialLog]()
    complete = [log for log in results.trials if log.state is TrialState.COMPLETE]
    best_first = sorted(complete, key=lambda log: log.rank, reverse=True)
    for log in sorted(best_first, key=lambda log: results.costs[log.number]):
        if not front or log.rank > front[-1].rank:
            front.append(log)
    return front


def caption(results: SearchResults) -> str:
    """By which rule a model is chosen."""
    within = results.objective.difference(results.config.strategy.tolerance)
    return (
        f"The finalists, and the winner among them, are the cheapest within {within} of the best. "
        f"{STATES_CAPTION}"
    )
