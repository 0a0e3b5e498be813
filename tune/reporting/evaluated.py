"""What a model is worth on labelled files: in the terminal, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainable.base.text import printable
from trainable.inference.evaluation import Judged
from trainable.judging.measures import TOP
from trainable.judging.predictions import Predictions
from tune.reporting.confusion import most_confused
from tune.reporting.predictions import worst_mistakes

CONFIDENCE: Final = 0.95
"""Of the interval of an accuracy."""
MATRIX: Final = 10
"""Classes up to which the confusion matrix is printed; of more, the pairs confused most."""
_PAIRS: Final = 10


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """A model, and what it answered to labelled files.

    Attributes:
        name: The model's.
        folder: That of the files, or the table that names them, as it was given.
        classes: The names of the model's classes.
        judged: Its answers.
        seen: How many files it, or its search, had seen, or duplicates of them; None if that is not
            known.
        seen_left_out: Whether those were left out.
        unsure_below: The probability below which the model's answers are unsure; 0 if none is.

    Where an image may have any number of labels, an answer is right if all of them are.
    """

    name: str
    folder: str
    classes: tuple[str, ...]
    judged: Judged
    seen: int | None
    seen_left_out: bool
    unsure_below: float = 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracies that so many images leave possible."""
        return self.judged.predictions.accuracy_interval(CONFIDENCE)

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Whether each answer is sure."""
        return self.judged.predictions.sureness.numpy() >= self.unsure_below

    @property
    def several(self) -> bool:
        """Whether an image may have any number of labels."""
        return self.judged.predictions.truth is not None

    @property
    def sure_accuracy(self) -> float | None:
        """The share of the sure answers that are right; None if there are none."""
        right = self.judged.predictions.right[self.sure]
        return float(right.mean()) if len(right) else None

    def mistakes(self, count: int) -> list[dict[str, Any]]:
        """The most confident mistakes: the file, its class, the answer and its probability.

        Of several labels, both as a table has them (`cat|dog`).
        """
        predictions, files = self.judged.predictions, self.judged.files
        said, sure = predictions.answers, predictions.sureness
        return [
            {
                "path": str(files[index].path),
                "class": "|".join(self.classes[label] for label in sorted(files[index].labels)),
                "label": "|".join(self.classes[label] for label in said[index].nonzero()),
                "probability": round(float(sure[index]), 6),
            }
            for index in worst_mistakes(predictions, count)
        ]

    def as_json(self, mistakes: int) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        summary = self.judged.predictions.summary(self.classes)
        for row in summary["per_class"].values():
            row["images"] = int(row.pop("support"))
        return {
            "model": self.name,
            "folder": self.folder,
            **summary,
            "accuracy_interval": list(self.interval),
            "confidence": CONFIDENCE,
            "sure": int(self.sure.sum()),
            "sure_accuracy": self.sure_accuracy,
            "mistakes": self.mistakes(mistakes),
            "seen": self.seen,
            "seen_left_out": self.seen_left_out,
            "unreadable": list(self.judged.problems),
        }


def print_evaluated(model: EvaluatedModel, console: Console, mistakes: int) -> None:
    """Print what a model is worth, most important first."""
    predictions, classes = model.judged.predictions, model.classes
    low, high = model.interval
    there = len({label for file in model.judged.files for label in file.labels})
    console.print(
        printable(
            f"{model.name} on {model.folder}: {_count(len(predictions.labels), 'image')} of "
            f"{there if there == len(classes) else f'{there} of its {len(classes)}'} "
            f"{'labels' if model.several else 'classes'}"
        ),
        soft_wrap=True,
    )
    console.print(
        f"{'all labels right' if model.several else 'accuracy'} {predictions.accuracy:.2%}, "
        f"{CONFIDENCE:.0%} interval {low:.2%} to {high:.2%}"
    )
    if model.unsure_below:
        console.print(_sure(model), soft_wrap=True)
    console.print(_seen(model), soft_wrap=True)
    console.print(_by_class(model), soft_wrap=True)
    console.print("", _per_class(model))
    if not predictions.right.all() and not model.several:
        console.print("", _matrix(model) if len(classes) <= MATRIX else _pairs(model))
    if found := model.mistakes(mistakes):
        console.print("\nmost confident mistakes")
    for each in found:
        of, answer = (each[key] or "no label" for key in ("class", "label"))
        told = f"{each['path']}: {of} taken for {answer}"
        console.print(printable(f"  {told}, {each['probability']:.2%}"), soft_wrap=True)


def _sure(model: EvaluatedModel) -> str:
    sure = int(model.sure.sum())
    right = "" if model.sure_accuracy is None else f", {model.sure_accuracy:.2%} of them right"
    return f"sure of {_count(sure, 'image')}{right}; unsure of {len(model.sure) - sure:,}"


def _seen(model: EvaluatedModel) -> str:
    """How far images are in it that the model knows."""
    if model.seen is None:
        return "which images it was trained on is not known: it may have seen some of these"
    if not model.seen:
        return "none of them, nor a duplicate, was in its search's training or validation"
    known = f"{_count(model.seen, 'image')} of its search's training or validation, or duplicates"
    if model.seen_left_out:
        return f"left out: {known}"
    return f"among them {known}: the accuracy is too high for new images"


def _by_class(model: EvaluatedModel) -> str:
    """Measures that count every class alike, of the classes that have images here."""
    predictions, classes = model.judged.predictions, len(model.classes)
    if model.several:
        return _by_label(predictions)
    shown = f"balanced accuracy {predictions.balanced_accuracy:.2%}"
    shown += f", macro F1 {predictions.macro_f1:.2%}"
    if not math.isnan(area := predictions.auroc):
        shown += f", AUROC {area:.2%}"
    return f"{shown}, top-{TOP} accuracy {predictions.top_accuracy:.2%}" if classes > TOP else shown


def _by_label(predictions: Predictions) -> str:
    """Measures of several labels."""
    measures = {
        "mAP": predictions.mean_average_precision,
        "micro F1": predictions.micro_f1,
        "macro F1": predictions.macro_f1,
        "AUROC": predictions.auroc,
    }
    known = {name: value for name, value in measures.items() if not math.isnan(value)}
    return ", ".join(f"{name} {value:.2%}" for name, value in known.items())


def _per_class(model: EvaluatedModel) -> Table:
    table = Table("label" if model.several else "class", box=None)
    precise = ["average precision"] if model.several else []
    for name in ("images", "precision", "recall", "F1", *precise):
        table.add_column(name, justify="right")
    rows = model.judged.predictions.per_class([str(n) for n in range(len(model.classes))])
    for name, row in zip(model.classes, rows.values(), strict=True):
        images = int(row["support"])
        keys = ("precision", "recall", "f1", *(["average_precision"] if precise else []))
        shares = [f"{row[key]:.1%}" if key in row else "-" for key in keys]
        cells = shares if images else [shares[0], *["-"] * (len(keys) - 1)]
        table.add_row(Text(printable(name)), f"{images:,}", *cells)
    return table


def _matrix(model: EvaluatedModel) -> Table:
    """The confusion matrix, in whose columns a class has its number alone: names are long."""
    table = Table("true class, answer by number", box=None)
    for number in range(len(model.classes)):
        table.add_column(str(number + 1), justify="right")
    counts = model.judged.predictions.confusion()
    for number, (name, row) in enumerate(zip(model.classes, counts, strict=True)):
        cells = [str(count) if count else "·" for count in row]
        table.add_row(Text(f"{number + 1} {printable(name)}"), *cells)
    return table


def _pairs(model: EvaluatedModel) -> Table:
    table = Table("confused most", "images", "of its class", box=None)
    labels: Sequence[str] = [printable(name) for name in model.classes]
    for pair in most_confused(model.judged.predictions, _PAIRS):
        share = "" if math.isnan(pair.share) else f"{pair.share:.1%}"
        table.add_row(Text(pair.named(labels)), str(pair.images), share)
    return table


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
