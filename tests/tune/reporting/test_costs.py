"""What models cost, in the report and in the last lines."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.helpers.results import add_trial, dataset_of, results_of
from tune.reporting import costs
from tune.reporting.results import SearchResults
from tune.reporting.sections import draw_sections
from tune.reporting.terminal import print_results
from tune.strategy.choice import Choice
from tune.study.trial import TrialState

WORDS = (
    "model.weights=random",
    "space.model.arch=[resnet18, resnet34, resnet50]",
    "strategy.cost=size",
    "strategy.tolerance=0.02",
    "confirm.top_k=0",
)
COSTS = {"resnet18": 44.7, "resnet34": 85.1, "resnet50": 94.0}


@pytest.fixture
def results() -> SearchResults:
    """A trial of each network, and one that was stopped."""
    found = results_of(dataset_of(("a", "b")), 0, *WORDS)
    trained = ("resnet50", 0.95), ("resnet34", 0.90), ("resnet18", 0.94), ("resnet18", 0.80)
    for number, (arch, score) in enumerate(trained):
        state = TrialState.PRUNED if score == 0.80 else TrialState.COMPLETE
        add_trial(found.ledger, [score], state)
        found.ledger.trials[number].params["model.arch"] = arch
    choice = Choice(found.config, COSTS)
    order = choice.ranked(choice.finalists(found.ledger.trials.values(), 3), [])
    return replace(found, choice=choice, finalists=tuple(order))


def test_the_front_has_what_no_other_beats_at_its_cost(results: SearchResults) -> None:
    assert [log.number for log in costs.pareto_front(results)] == [2, 0]


def test_the_report_shows_costs_and_the_rule(results: SearchResults) -> None:
    drawn = {section.title: (section, figure) for section, figure in draw_sections(results)}
    section, figure = drawn["Costs"]
    assert "the cheapest within 2 points of the best" in section.caption_of(results)
    assert figure.layout.xaxis.title.text == "MB of weights"
    points = {trace.name: list(trace.x) for trace in figure.data}
    assert points["complete"] == [94.0, 85.1, 44.7]
    assert points["pruned"] == [44.7]
    assert points["Pareto front"] == [44.7, 94.0]


def test_the_terminal_says_what_the_winner_costs(results: SearchResults) -> None:
    assert results.finalists[0].trial.number == 2
    stream = io.StringIO()
    print_results(results, Console(file=stream, width=200))
    assert "cost                44.7 MB of weights, the least within 2 points of the best" in (
        stream.getvalue()
    )


def test_without_a_cost_nothing_is_said(results: SearchResults) -> None:
    plain = replace(results, choice=Choice(results.config))
    assert "Costs" not in {section.title for section, _ in draw_sections(plain)}
    stream = io.StringIO()
    print_results(plain, Console(file=stream, width=200))
    assert "cost " not in stream.getvalue()
