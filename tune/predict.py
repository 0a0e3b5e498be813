"""`python -m tune.predict`: what the champion says of image files."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from tune.cli import ModelOption, UriOption
from tune.environment import prepare_environment
from tune.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainable.inference.classifier import Classifier
    from trainable.inference.labelling import Answer, ImageSource

DONE, FAILED, MISTAKE = 0, 1, 2
"""Exit codes."""
STANDARD_INPUT = "-"

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


class Upload(io.BytesIO):
    """The bytes of an image from standard input."""

    name = STANDARD_INPUT


@app.command()
def main(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE...", show_default=False)
    ] = None,
    model: ModelOption = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels to tell of each image.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    uri: UriOption = None,
) -> None:
    """Label images with a trained model.

    IMAGE is a file, a folder, in which all files of image types are read, or - for the bytes
    of an image on standard input. What cannot be read is told and does not stop the rest.

    Examples:
    `python -m tune.predict seven.png photos/`

    `python -m tune.predict --model imagenet --top-k 5 --json cat.jpg`

    Exit code: 0 done, 1 an image could not be read, 2 a mistake in the command.
    """
    prepare_environment()
    try:
        sources, problems = _sources(images or [])
        classifier = _load(model, uri)
    except ConfigError as error:
        _complain(error)
        sys.exit(MISTAKE)
    show = _as_json if as_json else _as_text
    for answer in _answers(classifier, sources):
        if isinstance(answer.probabilities, ValueError):
            problems.append(answer.probabilities)
            _complain(answer.probabilities)
        else:
            print(show(_name(answer.source), _best(answer.probabilities, classifier, top_k)))
    sys.exit(FAILED if problems else DONE)


def _sources(words: Sequence[str]) -> tuple[list[ImageSource], list[ValueError]]:
    """The images that words name, and what is wrong with words that name none.

    Raises:
        ConfigError: There is nothing to read at all.
    """
    from trainable.data.decoding import MAX_BYTES
    from trainable.data.image_folder import image_files, no_image_in

    sources: list[ImageSource] = []
    problems: list[ValueError] = []
    for word in words:
        if word == STANDARD_INPUT:
            sources.append(Upload(sys.stdin.buffer.read(MAX_BYTES + 1)))
        elif Path(word).is_dir():
            found = image_files(Path(word))
            sources += found
            problems += [] if found else [ConfigError(no_image_in(Path(word)))]
        else:
            sources.append(Path(word))
    if not sources:
        raise ConfigError("; ".join(map(str, problems)) or "name an image, a folder, or -")
    for problem in problems:
        _complain(problem)
    return sources, problems


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
    return f"{name}: " + ", ".join(f"{label} {probability:.2%}" for label, probability in best)


def _as_json(name: str, best: Sequence[tuple[str, float]]) -> str:
    top = [{"label": label, "probability": round(value, 6)} for label, value in best]
    return json.dumps({"image": name, **top[0], "top": top})


def _name(source: ImageSource) -> str:
    return str(source) if isinstance(source, Path) else source.name


def _complain(problem: object) -> None:
    print(f"tune.predict: {problem}", file=sys.stderr)


if __name__ == "__main__":
    app()
