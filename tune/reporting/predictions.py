"""The figures of a model's predictions on the test images, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from torch import Tensor

from trainable.judging.predictions import MOST_CLASSES, Predictions
from tune.reporting.axes import add_diagonal, counted, labelled
from tune.reporting.confusion import NUMBERED, block_size, confusion_of, most_confused
from tune.reporting.labels import labels_of, plotly_text

MISTAKES: Final = 24
"""The number of mistakes that are shown."""
WEAKEST: Final = 50
"""The classes of many whose precision and recall are shown."""

_BINS: Final = 15
_ROW: Final = 11
"""The height of a row of a matrix of many classes in pixels, with room for its name."""
_COLUMN: Final = 9
"""The width of its columns, of which not all are named."""
_SMALL: Final = 9
"""The size of the names beside them."""


def worst_mistakes(test: Predictions, count: int = MISTAKES) -> NDArray[np.int64]:
    """Indices of misclassified images, those first of which the model was most confident."""
    confidence = test.sureness
    wrong = torch.from_numpy(~test.right).nonzero().squeeze(1)
    return wrong[confidence[wrong].argsort(descending=True)][:count].numpy()


def answer_of(test: Predictions, names: Sequence[str], index: int) -> str:
    """What a model says of an image: the name of a class, or of each label that it has."""
    return _joined(test.answers[index], names)


def truth_of(test: Predictions, names: Sequence[str], index: int) -> str:
    """What an image is, in the same form."""
    if test.truth is None:
        return names[int(test.labels[index])]
    return _joined(test.truth[index], names)


def _joined(has: Tensor, names: Sequence[str]) -> str:
    return ", ".join(names[int(label)] for label in has.nonzero()) or "no label"


def confusion(names: Sequence[str], test: Predictions) -> go.Figure:
    """The confusion matrix in images, true class by row; where there are none, nothing is drawn."""
    matrix = confusion_of(names, test)
    labels, counts = [plotly_text(label) for label in matrix.labels], matrix.counts
    figure = go.Figure(
        go.Heatmap(
            z=np.where(counts, np.log1p(counts), np.nan),
            zmin=0,
            x=labels,
            y=labels,
            text=np.where(counts, counts.astype(str), "") if len(labels) <= NUMBERED else None,
            texttemplate="%{text}" if len(labels) <= NUMBERED else None,
            customdata=counts,
            hovertemplate="%{y} taken for %{x}: %{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale="Blues",
            showscale=False,
        )
    )
    figure.update_xaxes(type="category", showgrid=False)  # classes may be called 0 to 9
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    if len(labels) > NUMBERED:
        row = max(_ROW, min(26, 1000 // len(labels)))
        figure.update_layout(height=row * len(labels) + 260, width=_COLUMN * len(labels) + 240)
        figure.update_layout(xaxis_tickangle=-90, yaxis_dtick=1)
        figure.update_layout(xaxis_tickfont_size=_SMALL, yaxis_tickfont_size=_SMALL)
    else:
        figure.update_layout(height=max(420, 26 * len(labels) + 140))
    return labelled(figure, "predicted class", "true class")


def confusion_caption(classes: int) -> str:
    """What the confusion matrix of so many classes shows."""
    together = block_size(classes)
    many = f", {together} classes each, in their order" if together > 1 else ""
    return f"Test images: true class by row, predicted class by column{many}."


def confused_pairs(names: Sequence[str], test: Predictions) -> go.Figure | None:
    """The pairs of classes that were confused most, where the matrix does not say it in numbers."""
    pairs = most_confused(test)
    if len(names) <= NUMBERED or not pairs:
        return None
    labels = labels_of(names)
    figure = go.Figure(
        go.Bar(
            x=[pair.images for pair in pairs],
            y=[_on_two_lines(pair.named(labels)) for pair in pairs],
            text=[f"{pair.share:.0%} of its images" for pair in pairs],
            orientation="h",
        )
    )
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(height=34 * len(pairs) + 140, width=640)
    figure.update_xaxes(counted([0, *(pair.images for pair in pairs)]))
    return labelled(figure, "test images", "")


def _on_two_lines(pair: str) -> str:
    """A pair of classes as a narrow figure has room for it."""
    return plotly_text(pair).replace(" taken for ", "<br>taken for ", 1)


def per_class(names: Sequence[str], test: Predictions) -> go.Figure:
    """Precision, recall and F1 of each class, or of those with the lowest F1 of many."""
    rows = list(test.per_class([str(number) for number in range(len(names))]).values())
    shown = list(range(len(names)))
    if len(names) > MOST_CLASSES:
        shown = sorted(shown, key=lambda number: rows[number]["f1"])[:WEAKEST]
    labels = labels_of(names)
    figure = go.Figure()
    x = [plotly_text(labels[number]) for number in shown]
    images = [f"of {rows[number]['support']:.0f} test images" for number in shown]
    for key, name in (("precision", "precision"), ("recall", "recall"), ("f1", "F1")):
        figure.add_bar(x=x, y=[rows[number][key] for number in shown], name=name, hovertext=images)
    figure.update_xaxes(type="category")
    if len(shown) > NUMBERED:
        figure.update_layout(width=_ROW * len(shown) + 100, height=480)
        figure.update_xaxes(dtick=1, tickangle=-90, tickfont_size=_SMALL)
    return labelled(figure, "class", "share", percent="y")


def per_class_caption(classes: int) -> str:
    """Of which of so many classes precision and recall are shown."""
    if classes <= MOST_CLASSES:
        return "On the test images."
    return f"On the test images, of the {WEAKEST} of {classes:,} classes with the lowest F1."


def calibration(test: Predictions) -> go.Figure:
    """The reliability diagram: accuracy by confidence, or labels by theirs (Guo et al. 2017)."""
    mean, right, counts = reliability_bins(test)
    figure = go.Figure()
    figure.add_bar(x=mean, y=right, text=counts.tolist(), width=0.8 / _BINS)
    figure.data[0].name = f"expected calibration error {test.calibration_error(_BINS):.3f}"
    add_diagonal(figure, "calibrated")
    return labelled(figure, *reliability_axes(test), percent="xy")


def reliability_bins(
    test: Predictions,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Of each bin of probabilities with some in it their mean, how often they are right, how many.

    Of each answer; of several labels, of each label of each image.
    """
    stated, right = test.stated
    confidence = stated.astype(float)  # as precise as the bins' edges
    share, mean = calibration_curve(right, confidence, n_bins=_BINS)
    counts, _ = np.histogram(confidence, _BINS, (0, 1))
    return mean, share, counts[counts > 0]


def reliability_axes(test: Predictions) -> tuple[str, str]:
    """What the two axes of a reliability diagram are called."""
    if test.truth is None:
        return "confidence", "accuracy"
    return "probability of a label", "share of the images that have it"
