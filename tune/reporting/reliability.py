"""The figure of what the model's probabilities are worth, without its calibration and with it."""

from __future__ import annotations

from typing import Final

import plotly.graph_objects as go

from trainable.inference.calibration import NEVER_SURE, NONE, RATE, Calibration
from trainable.judging.predictions import Predictions
from tune.reporting.axes import add_diagonal, labelled
from tune.reporting.predictions import calibration, reliability_axes, reliability_bins
from tune.reporting.results import SearchResults

_BINS: Final = 15
_BY_SINGLE: Final = ", for the single run of the same recipe, which was not trained on them"


def reliability(results: SearchResults) -> go.Figure | None:
    """Accuracy by confidence on the test images; of a calibrated model before and after that.

    Of several labels, how many images have one by its probability.
    """
    before, found = results.test, results.calibration
    if before is None or found in (None, NONE):
        return None if before is None else calibration(before)
    after, figure = found.of(before), go.Figure()
    _add(figure, before, f"before, error {before.calibration_error(_BINS):.3f}")
    _add(figure, after, f"after, error {after.calibration_error(_BINS):.3f}")
    add_diagonal(figure, "calibrated")
    for border in _borders(found, several=before.truth is not None):
        figure.add_vline(border, line={"dash": "dash", "color": "gray"})
    return labelled(figure, *reliability_axes(before), percent="xy")


def _borders(found: Calibration, *, several: bool) -> list[float]:
    """Below which probability an answer is unsure; of several, between which a label is."""
    below = found.unsure_below
    if not 0 < below <= 1:
        return []
    return [1 - below, below] if several else [below]


def _add(figure: go.Figure, test: Predictions, name: str) -> None:
    mean, right, counts = reliability_bins(test)
    what = "images" if test.truth is None else "labels of images"
    figure.add_scatter(
        x=mean,
        y=right,
        mode="lines+markers",
        name=name,
        customdata=counts,
        hovertemplate=f"%{{x}} sure, %{{y}} right, %{{customdata}} {what}",
    )


def reliability_caption(results: SearchResults) -> str:
    """What the figure shows, and how the sure answers did on the test images."""
    test, found = results.test, results.calibration
    several = test is not None and test.truth is not None
    whose = "and each of their labels, the number of which" if several else "whose number"
    bars = f"On the test images, {whose} stands on each bar."
    if test is None or found is None:
        return bars
    is_refit = results.model is not None and results.model.is_refit
    if found == NONE:
        why = "there are too few validation images"
        if is_refit:
            why = "the model has trained on the validation images too"
        return f"{bars} Not calibrated: {why}."
    fitted = (
        "On the test images, before and after the temperature "
        f"({found.temperature:.3g}) that was fitted on the validation images"
        f"{_BY_SINGLE if is_refit else ''}."
    )
    return f"{fitted} {_of_sure(results, test)}"


def _of_sure(results: SearchResults, test: Predictions) -> str:
    assert results.calibration is not None
    below, sure = results.calibration.unsure_below, results.calibration.is_sure(test)
    if below == NEVER_SURE:
        return f"No confidence gave {RATE:.0%} right validation images: every answer is unsure."
    if below == 0:
        return f"At least {RATE:.0%} of all validation images were right: no answer is unsure."
    told = f"Below a confidence of {below:.1%} (dashed) an answer is unsure:"
    if test.truth is not None:
        told = (
            f"An answer is unsure if a label's probability is between {1 - below:.1%} and "
            f"{below:.1%} (dashed), and right if all labels are:"
        )
    if not sure.any():
        return f"{told} here, all are."
    return (
        f"{told} here, {sure.mean():.0%} of the answers are sure, and {test.at(sure).accuracy:.1%} "
        f"of those right (on the validation images, {RATE:.0%} or more)."
    )
