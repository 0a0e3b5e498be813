"""The sections of a report, in their order.

To add one, write what makes its figure and put one more :class:`Section` into :data:`SECTIONS`,
here or in a module that `TUNE_PLUGINS` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from plotly.graph_objects import Figure

from trainable.judging.predictions import Predictions
from trainable.registries import load_plugins
from tune.reporting import costs, duplicates, predictions, reliability
from tune.reporting.figures import keys, trials
from tune.reporting.results import SearchResults

Make = Callable[[SearchResults], Figure | None]
"""Makes a figure of what a search came to; None where there is nothing to show."""


@dataclass(frozen=True)
class Section:
    """A figure of the report with its title and its caption.

    Attributes:
        title: The heading.
        caption: The sentence below the figure, or what makes it of the results.
        make: Makes the figure; where it makes None, the section is left out.
        wide: Whether it needs the whole width of the page.
    """

    title: str
    caption: str | Callable[[SearchResults], str]
    make: Make
    wide: bool = False

    def caption_of(self, results: SearchResults) -> str:
        """The caption in the report of these results."""
        return self.caption if isinstance(self.caption, str) else self.caption(results)


def _of_test(make: Callable[[Sequence[str], Predictions], Figure | None]) -> Make:
    """The same of what makes a figure of the classes and the predictions on the test images."""

    def made(results: SearchResults) -> Figure | None:
        return None if results.test is None else make(results.dataset.classes, results.test)

    return made


def _of_one(
    make: Callable[[Sequence[str], Predictions], Figure | None],
) -> Callable[[Sequence[str], Predictions], Figure | None]:
    """The same where images have one label each: of several, none is taken for another."""
    return lambda names, test: make(names, test) if test.truth is None else None


def _overfitting(results: SearchResults) -> str:
    return f"Far {'below' if results.objective.maximizes else 'above'} the line: overfitting."


_FEW: Final = 20
"""The number of trials below which importances are hardly more than chance."""
_ALIKE = "all trials that did not fail, pruned ones included,"


def _importances(results: SearchResults) -> str:
    of = f"PED-ANOVA over {_ALIKE} after epoch {results.common_epoch}."
    count = len(results.comparable)
    return f"{of} {count} trials say little: take it for a first guess." if count < _FEW else of


def _compared(results: SearchResults) -> str:
    return f"{_ALIKE.capitalize()} after epoch {results.common_epoch}, the last that each reached."


SECTIONS: list[Section] = [
    Section(
        "Optimization history",
        "The best epoch of each trial; the line is the best trial that completed.",
        trials.history,
    ),
    Section(
        "Learning curves",
        trials.STATES_CAPTION,
        lambda results: trials.learning_curves(results.trials, results.objective),
    ),
    Section("Training and validation", _overfitting, trials.gap),
    Section("Hyperparameter importances", _importances, trials.compared(trials.importances)),
    Section(
        "Parallel coordinates", _compared, trials.compared(keys.parallel_coordinates), wide=True
    ),
    Section("Slices", _compared, trials.compared(keys.slices), wide=True),
    Section("Contours", _compared, trials.compared(trials.contours), wide=True),
    Section(
        "The finalists",
        "The best score of a search is partly luck: runs under other seeds or on folds, after as "
        "many epochs, show how much.",
        trials.finalists,
    ),
    Section("Costs", costs.caption, costs.costs),
    Section(
        "Confusion",
        lambda results: predictions.confusion_caption(len(results.dataset.classes)),
        _of_test(_of_one(predictions.confusion)),
    ),
    Section(
        "Most confused",
        "The pairs of classes with the most misclassified test images.",
        _of_test(_of_one(predictions.confused_pairs)),
    ),
    Section(
        "Precision and recall",
        lambda results: predictions.per_class_caption(len(results.dataset.classes)),
        _of_test(predictions.per_class),
    ),
    Section("Calibration", reliability.reliability_caption, reliability.reliability),
    Section("Duplicates", duplicates.caption, duplicates.duplicates, wide=True),
]


def draw_sections(results: SearchResults) -> list[tuple[Section, Figure]]:
    """The sections that have something to show, in their order, with their figures."""
    load_plugins()
    drawn = [(section, section.make(results)) for section in SECTIONS]
    return [(section, figure) for section, figure in drawn if figure is not None]
