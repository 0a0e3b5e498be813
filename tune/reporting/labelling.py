"""Images that are labelled while somebody waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from trainable.inference.classifier import Classifier
from trainable.inference.labelling import BATCH, Answer, ImageSource, label
from tune.reporting.label_table import Best, Each


def answers(classifier: Classifier, sources: Sequence[ImageSource]) -> Iterator[Answer]:
    """Label images, with a bar on a terminal where they are many."""
    console = Console(stderr=True)
    bar = Progress(
        console=console,
        transient=True,
        disable=not console.is_terminal or len(sources) <= BATCH,
        redirect_stdout=sys.stdout.isatty(),  # else the labels would go where the bar is
    )
    with bar:
        yield from bar.track(label(classifier, sources), len(sources), description="")


def best_of(probabilities: NDArray[np.float32], classifier: Classifier, count: int) -> Best:
    """The most probable labels, and their probabilities; of several labels, those it has."""
    if classifier.spec.several:
        return [classifier.answer(probabilities)]
    order = (-probabilities).argsort(kind="stable")[:count]
    return [(classifier.spec.classes[index], float(probabilities[index])) for index in order]


def each_of(probabilities: NDArray[np.float32], classifier: Classifier) -> Each:
    """The probability of each label, where an image may have any number of them; else nothing."""
    if not classifier.spec.several:
        return {}
    return dict(zip(classifier.spec.classes, map(float, probabilities), strict=True))
