"""The figure of what the model's probabilities are worth, without its calibration and with it."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go
from sklearn.calibration import calibration_curve

from trainable.inference.calibration import NEVER_SURE, NONE, RATE
from trainable.judging.predictions import Predictions
from tune.reporting.axes import add_diagonal, labelled
from tune.reporting.predictions import calibration
from tune.reporting.results import SearchResults

_BINS: Final = 15


def reliability(results: SearchResults) -> go.Figure | None:
    """Accuracy by confidence on the test images; of a calibrated model before and after that."""
    before, found = results.test, results.calibration
    if before is not None and before.truth is not None:  # there is no probability of an answer
        return None
    if before is None or found in (None, NONE):
        return None if before is None else calibration(before)
    after, figure = found.of(before), go.Figure()
    _add(figure, before, f"before, error {before.calibration_error(_BINS):.3f}")
    _add(figure, after, f"after, error {after.calibration_error(_BINS):.3f}")
    add_diagonal(figure, "calibrated")
    if 0 < found.unsure_below <= 1:
        figure.add_vline(found.unsure_below, line={"dash": "dash", "color": "gray"})
    return labelled(figure, "confidence", "accuracy", percent="xy")


def _add(figure: go.Figure, test: Predictions, name: str) -> None:
    confidence = test.probabilities.max(axis=1).astype(float)  # as precise as the bins' edges
    right, mean = calibration_curve(test.right, confidence, n_bins=_BINS)
    counts, _ = np.histogram(confidence, _BINS, (0, 1))
    figure.add_scatter(
        x=mean,
        y=right,
        mode="lines+markers",
        name=name,
        customdata=counts[counts > 0],
        hovertemplate="%{x} sure, %{y} right, %{customdata} images",
    )


def reliability_caption(results: SearchResults) -> str:
    """What the figure shows, and how the sure answers did on the test images."""
    test, found = results.test, results.calibration
    bars = "On the test images, whose number stands on each bar."
    if test is None or found is None:
        return bars
    if results.model is not None and results.model.is_refit:
        return f"{bars} Not calibrated: the model has trained on the validation images too."
    if found == NONE:
        return f"{bars} Not calibrated: there are too few validation images."
    fitted = (
        "On the test images, before and after the temperature "
        f"({found.temperature:.3g}) that was fitted on the validation images."
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
    if not sure.any():
        return f"{told} here, all are."
    return (
        f"{told} here, {sure.mean():.0%} of the answers are sure, and {test.at(sure).accuracy:.1%} "
        f"of those right (on the validation images, {RATE:.0%} or more)."
    )
