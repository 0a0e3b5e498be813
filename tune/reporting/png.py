"""A report's pictures for where a page cannot be shown: PNG files, by Matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from trainable.judging.predictions import Predictions
from tune.reporting.confusion import NUMBERED, Pair, confusion_of, most_confused
from tune.reporting.figures.trials import STATES
from tune.reporting.labels import labels_of
from tune.reporting.predictions import answer_of, truth_of, worst_mistakes
from tune.reporting.results import SearchResults

_COLUMNS: Final = 8
_WIDE_FONTS: Final = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai"),
    *("Noto Emoji", "Symbola", "Unifont", "PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
)
"""Fonts of other scripts that many machines have."""
_NAME: Final = 16
"""Characters of a name above a picture."""


def write_pictures(results: SearchResults, folder: Path) -> list[Path]:
    """Write the pictures that a search has into a folder; returns their files."""
    with _text_as_it_is():
        return _write(results, folder)


@contextmanager
def _text_as_it_is() -> Iterator[None]:
    """Let Matplotlib take no dollar sign for mathematics, and draw a box for what has no glyph."""
    plain = rc_context({"text.parse_math": False, "text.usetex": False, "font.family": _families()})
    with plain, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        yield


def _families() -> list[str]:
    """Matplotlib's own font, then those of this machine that have what it lacks."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in _WIDE_FONTS if name in installed)]


def _write(results: SearchResults, folder: Path) -> list[Path]:
    made = {"history": _history(results), "learning_curves": _learning_curves(results)}
    if results.served is not None:
        if results.served.truth is None:
            made["confusion"] = _confusion(results, results.served)
        made["mistakes"] = _mistakes(results, results.served)
    paths = []
    for name, figure in made.items():
        path = folder / f"{name}.png"
        FigureCanvasAgg(figure).print_png(str(path))
        paths.append(path)
    return paths


def _history(results: SearchResults) -> Figure:
    figure, axes = _axes("trial", f"best {results.objective.title()}")
    for state, colour in STATES.items():
        logs = [log for log in results.trials if log.state.name == state]
        numbers, scores = [log.number for log in logs], [log.score or 0.0 for log in logs]
        axes.scatter(numbers, scores, color=colour, label=state.lower())
    axes.legend()
    return figure


def _learning_curves(results: SearchResults) -> Figure:
    figure, axes = _axes("epoch", results.objective.title())
    for log in results.trials:
        values = [results.objective.score(epoch.metrics) for epoch in log.epochs]
        colour = STATES.get(log.state.name)
        axes.plot(range(1, len(values) + 1), values, "o-", color=colour, markersize=3, alpha=0.7)
    return figure


def _confusion(results: SearchResults, test: Predictions) -> Figure:
    matrix = confusion_of(results.dataset.classes, test)
    side = max(6.0, 0.35 * len(matrix.labels))
    pairs = most_confused(test) if len(results.dataset.classes) > NUMBERED else []
    figure = Figure((side + (8 if pairs else 0), side), layout="constrained")
    axes, *others = figure.subplots(1, 2 if pairs else 1, squeeze=False).flat
    ConfusionMatrixDisplay(matrix.counts, display_labels=matrix.labels).plot(
        ax=axes,
        cmap="Blues",
        colorbar=False,
        include_values=len(matrix.labels) <= NUMBERED,
        xticks_rotation="vertical",
    )
    for beside in others:
        _draw_pairs(pairs, labels_of(results.dataset.classes), beside)
    return figure


def _draw_pairs(pairs: Sequence[Pair], labels: Sequence[str], axes: Axes) -> None:
    """Draw the pairs of classes that were confused most as bars."""
    axes.barh([pair.named(labels) for pair in pairs], [pair.images for pair in pairs])
    axes.invert_yaxis()
    axes.set(xlabel="test images", title="most confused")


def _mistakes(results: SearchResults, test: Predictions) -> Figure:
    indices = worst_mistakes(test)
    rows = max(1, -(-len(indices) // _COLUMNS))
    figure = Figure((1.6 * _COLUMNS, 2.1 * rows), layout="constrained")
    names, sureness = labels_of(results.dataset.classes, _NAME), test.sureness
    for axes in figure.subplots(rows, _COLUMNS, squeeze=False).flat:
        axes.axis("off")
    for axes, index in zip(figure.axes, indices, strict=False):
        axes.imshow(results.dataset.test.images[index].permute(1, 2, 0).numpy())
        answer, truth = (of(test, names, int(index)) for of in (answer_of, truth_of))
        axes.set_title(f"{answer} {sureness[index]:.0%}\nis {truth}", fontsize=8)
    if not len(indices):
        figure.suptitle("No test image is misclassified.")
    return figure


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes
