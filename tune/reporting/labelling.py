"""Images that are labelled while somebody waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import Progress

from trainable.inference.classifier import Classifier
from trainable.inference.labelling import BATCH, Answer, ImageSource, label


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
