"""`python -m tune.predict`: a model's predictions for image files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from trainable.text import printable
from tune.cli import Door, ModelOption, UriOption
from tune.errors import DONE, FAILED, ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainable.inference.classifier import Classifier
    from trainable.inference.labelling import Answer, ImageSource

app = Door("tune.predict")


@app.command()
def main(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE...", show_default=False)
    ] = None,
    model: ModelOption = None,
    top_k: Annotated[int, typer.Option(min=1, help="The number of labels per image.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    uri: UriOption = None,
) -> int:
    """Label images with a trained model.

    IMAGE is a file, a folder, in which all files of image types are read, or - for the bytes
    of an image on standard input. An image that cannot be read is reported, and does not stop
    the others.

    Examples:
    `python -m tune.predict seven.png photos/`

    `python -m tune.predict --model imagenet --top-k 5 --json cat.jpg`

    Exit code: 0 done, 1 an image could not be read, 2 a mistake in the command.
    """
    from trainable.inference.labelling import find_images, name_of

    sources, problems = find_images(images or [], sys.stdin.buffer)
    if not sources:
        raise ConfigError("; ".join(problems) or "name an image, a folder, or -")
    for problem in problems:
        app.complain(problem)
    classifier = _load(model, uri)
    show = _as_json if as_json else _as_text
    for answer in _answers(classifier, sources):
        if isinstance(answer.probabilities, ValueError):
            problems.append(str(answer.probabilities))
            app.complain(problems[-1])
        else:
            print(show(name_of(answer.source), _best(answer.probabilities, classifier, top_k)))
    return FAILED if problems else DONE


def _load(model: str | None, uri: str | None) -> Classifier:
    from trainable.device import resolve_device
    from tune.models.lookup import load_model

    resolve_device("fp32", use_gpu=False)  # a classifier's own; it sets the allocator up too
    return load_model(model, uri).classifier


def _answers(classifier: Classifier, sources: Sequence[ImageSource]) -> Iterator[Answer]:
    """Label the images, with a bar on a terminal where they are many."""
    from trainable.inference.labelling import BATCH, label

    console = Console(stderr=True)
    bar = Progress(
        console=console,
        transient=True,
        disable=not console.is_terminal or len(sources) <= BATCH,
        redirect_stdout=sys.stdout.isatty(),  # else the labels would go where the bar is
    )
    with bar:
        yield from bar.track(label(classifier, sources), len(sources), description="")


def _best(
    probabilities: NDArray[np.float32], classifier: Classifier, count: int
) -> list[tuple[str, float]]:
    """The most probable labels, and their probabilities."""
    order = (-probabilities).argsort(kind="stable")[:count]
    return [(classifier.spec.classes[index], float(probabilities[index])) for index in order]


def _as_text(name: str, best: Sequence[tuple[str, float]]) -> str:
    answers = ", ".join(f"{label} {probability:.2%}" for label, probability in best)
    return printable(f"{name}: {answers}")


def _as_json(name: str, best: Sequence[tuple[str, float]]) -> str:
    top = [{"label": label, "probability": round(value, 6)} for label, value in best]
    return json.dumps({"image": name, **top[0], "top": top})


if __name__ == "__main__":
    app()
