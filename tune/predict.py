"""`python -m tune.predict`: a model's predictions for image files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainable.base.text import printable
from tune.base.errors import DONE, FAILED, ConfigError
from tune.cli import Door, ModelOption, UriOption

if TYPE_CHECKING:
    from trainable.inference.classifier import Classifier
    from trainable.inference.labelling import ImageSource
    from tune.reporting.label_table import Put

app = Door("tune.predict")


@app.command()
def main(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE...", show_default=False)
    ] = None,
    model: ModelOption = None,
    top_k: Annotated[int, typer.Option(min=1, help="The number of labels per image.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    as_csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Write a table instead: path, label, probability, unsure, and with --top-k "
            "label_2 and so on; of any number of labels an image p_LABEL for each. A file that "
            "exists is replaced, once the table is whole.",
            show_default=False,
        ),
    ] = None,
    uri: UriOption = None,
) -> int:
    """Label images with a trained model.

    IMAGE is a file, a folder, in which all files of image types are read, or - for the bytes
    of an image on standard input. An image that cannot be read is reported, and does not stop
    the others. An answer is unsure where its probability is lower than that from which on the model
    was right often enough on the validation images.

    Examples:
    `python -m tune.predict seven.png photos/`

    `python -m tune.predict --model imagenet --top-k 5 --json cat.jpg`

    `python -m tune.predict --model resnet18-photos --csv labels.csv photos/`

    Exit code: 0 done, 1 an image could not be read, 2 a mistake in the command.
    """
    from tune.reporting.label_table import check_table, print_json, print_text, writing_table

    if as_csv is not None:
        if as_json:
            raise ConfigError("--csv and --json: give one of them")
        check_table(as_csv)
    from trainable.inference.labelling import find_images

    sources, problems = find_images(images or [])
    if not sources:
        raise ConfigError("; ".join(problems) or "name an image, a folder, or -")
    for problem in problems:
        app.complain(problem)
    classifier = _load(model, uri)
    if classifier.spec.several and top_k > 1:
        raise ConfigError(
            "--top-k means nothing of a model whose images have any number of labels: leave it "
            "out; --json and --csv have the probability of each"
        )
    width = min(top_k, len(classifier.spec.classes))
    printing = nullcontext(print_json if as_json else print_text)
    labels = classifier.spec.classes if classifier.spec.several else ()
    with printing if as_csv is None else writing_table(as_csv, width, labels) as put:
        unreadable = _label(classifier, sources, width, put)
    if as_csv is not None:
        print(printable(f"{as_csv}: {len(sources) - unreadable:,} labelled"))
    return FAILED if problems or unreadable else DONE


def _label(
    classifier: Classifier,
    sources: Sequence[ImageSource],
    width: int,
    put: Put,
) -> int:
    """Put the labels of all images that can be read; returns how many cannot."""
    from trainable.inference.labelling import name_of
    from tune.reporting.labelling import answers, best_of, each_of

    unreadable = 0
    for answer in answers(classifier, sources):
        if isinstance(answer.probabilities, ValueError):
            unreadable += 1
            app.complain(answer.probabilities)
        else:
            best = best_of(answer.probabilities, classifier, width)
            unsure = bool(classifier.unsure(answer.probabilities))
            put(name_of(answer.source), best, unsure, each_of(answer.probabilities, classifier))
    return unreadable


def _load(model: str | None, uri: str | None) -> Classifier:
    from trainable.device import resolve_device
    from tune.models.lookup import load_model

    resolve_device("fp32", use_gpu=False)  # a classifier's own; it sets the allocator up too
    return load_model(model, uri).classifier


if __name__ == "__main__":
    app()
