"""Ticks and colours of figures."""

from __future__ import annotations

import pytest
from plotly.colors import hex_to_rgb

from tests.helpers.results import add_trial, results_of
from trainable.data.datasets import Dataset
from tune.reporting.axes import SCALE, counted, log_ticks
from tune.reporting.figures.keys import parallel_coordinates, slices
from tune.reporting.figures.trials import STATES, comparable_study, history, learning_curves

PAPERS = ("#ffffff", "#14181c")


@pytest.mark.parametrize(
    ("last", "step"), [(0, 1), (2, 1), (8, 1), (9, 2), (19, 5), (60, 10), (199, 50), (999, 200)]
)
def test_what_is_counted_has_ticks_at_whole_numbers(last: int, step: int) -> None:
    assert counted(range(last + 1)) == {"tick0": 0, "dtick": step}


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1e-4, 1e-2], ["0.0001", "0.001", "0.01"]),
        ([0.0003, 0.0087], ["0.0005", "0.001", "0.002", "0.005"]),
        ([0.0021, 0.0039], ["0.0021", "0.0039"]),
        ([0.0021, 0.0045], ["0.003", "0.004"]),
        ([1e-9, 1], ["1e-09", "1e-06", "0.001", "1"]),
        ([0.002], ["0.002"]),
        ([0.0021, 0.0021001], ["0.0021"]),
    ],
)
def test_logarithmic_ticks_are_few_and_inside(values: list[float], texts: list[str]) -> None:
    ticks = log_ticks(values)
    assert ticks["ticktext"] == texts
    assert len(ticks["tickvals"]) == len(texts)
    assert all(min(values) * 0.99 <= tick <= max(values) * 1.01 for tick in ticks["tickvals"])


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("colour", [*SCALE, *STATES.values()])
def test_lines_can_be_seen_on_white_and_on_black(colour: str, paper: str) -> None:
    light, dark = sorted((luminance(colour), luminance(paper)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3, "WCAG 2.1, non-text contrast"


def test_no_axis_of_shares_goes_on_to_twice_all(dataset: Dataset) -> None:
    results = results_of(dataset, 0)
    add_trial(results.ledger, [1.0])
    for figure in (history(results), learning_curves(results.trials, results.objective)):
        limits = figure.layout.yaxis.autorangeoptions
        assert (limits.clipmin, limits.clipmax) == (-0.02, 1.02)


def test_keys_of_whole_numbers_have_whole_ticks(dataset: Dataset) -> None:
    study = comparable_study(results_of(dataset, 4))
    titles = {axis.title.text: axis for axis in slices(study, "score").select_xaxes()}
    depth = titles["model.<br>unfreeze_depth"]
    assert depth.dtick == 1
    figure = parallel_coordinates(study, "score")
    place = list(figure.layout.xaxis.ticktext).index("model.<br>unfreeze_depth")
    texts = [one.text for one in figure.layout.annotations if one.x == place]
    assert texts == ["0", "1", "2"]


def luminance(colour: str) -> float:
    """The relative luminance of a colour, by WCAG."""
    parts = [part / 255 for part in hex_to_rgb(colour)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
