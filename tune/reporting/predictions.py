"""The figures of a model's predictions on the test images, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve

from trainable.predictions import Predictions
from tune.reporting.axes import add_diagonal, labelled

MISTAKES: Final = 24
"""The number of mistakes that are shown."""

_BINS: Final = 15


def worst_mistakes(test: Predictions, count: int = MISTAKES) -> NDArray[np.int64]:
    """Indices of misclassified images, those first of which the model was most confident."""
    confidence, answer = torch.from_numpy(test.probabilities).max(1)
    wrong = (answer != test.labels).nonzero().squeeze(1)
    return wrong[confidence[wrong].argsort(descending=True)][:count].numpy()


def confusion(names: Sequence[str], test: Predictions) -> go.Figure:
    """The confusion matrix in images, true class by row; where there are none, nothing is drawn."""
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
    return labelled(figure, "predicted class", "true class")


def per_class(names: Sequence[str], test: Predictions) -> go.Figure:
    """Precision and recall of each class."""
    table = test.per_class(names)
    figure = go.Figure()
    for name in ("precision", "recall"):
        figure.add_bar(x=list(table), y=[row[name] for row in table.values()], name=name)
    figure.update_xaxes(type="category")
    return labelled(figure, "class", "share", percent="y")


def calibration(test: Predictions) -> go.Figure:
    """The reliability diagram: accuracy by confidence (Guo et al. 2017)."""
    confidence = test.probabilities.max(axis=1).astype(float)  # as precise as the bins' edges
    right, mean = calibration_curve(test.right, confidence, n_bins=_BINS)
    counts, _ = np.histogram(confidence, _BINS, (0, 1))
    figure = go.Figure()
    figure.add_bar(
        x=mean, y=right, text=counts[counts > 0].tolist(), width=0.8 / _BINS, name="images"
    )
    add_diagonal(figure, "calibrated")
    error = f"expected calibration error {test.calibration_error(_BINS):.3f}"
    return labelled(figure, f"confidence ({error})", "accuracy", percent="xy")
