"""`python -m tune.evaluate`: how good a model is on labelled images, in a folder or a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.base.errors import DONE, FAILED, ConfigError
from tune.cli import Door, ModelOption, UriOption, open_console

if TYPE_CHECKING:
    from tune.models.lookup import Model
    from tune.reporting.evaluated import EvaluatedModel

app = Door("tune.evaluate")


@app.command()
def main(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder of images a class, or a table (CSV, TSV, Parquet or JSON "
            "lines) with the columns path and label.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    mistakes: Annotated[
        int, typer.Option(min=0, help="The number of the most confident mistakes to list.")
    ] = 10,
    include_seen: Annotated[
        bool,
        typer.Option(
            "--include-seen",
            help="Count images too that the model's search was trained or validated on.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    uri: UriOption = None,
) -> int:
    """Evaluate a model on labelled images: accuracy, classes, confusion and mistakes.

    The name of each folder in FOLDER is that of a class; one that is no class of the model is a
    mistake, while a class may be missing. Or FOLDER is a table, in which the labels of a model that
    gives an image any number of them must be: of such a model, mAP and F1 are shown, and an answer
    is right if all its labels are. The accuracy has a 95 % interval, by Wilson. Images that the
    model's search was trained or validated on, and duplicates of them, are left out: a model is
    better on those than on new ones.

    Examples:
    `python -m tune.evaluate photos/test`

    `python -m tune.evaluate labels.csv --model resnet18-photos --json`

    Exit code: 0 done, 1 an image could not be read, or none is left, 2 a mistake in the command.
    """
    from trainable.device import resolve_device
    from tune.models.lookup import load_model

    resolve_device("fp32", use_gpu=False)  # a classifier's own; it sets the allocator up too
    found = _evaluate(load_model(model, uri), folder, include_seen=include_seen)
    problems = found.judged.problems
    for problem in problems:
        app.complain(problem)
    if not found.judged.files:
        app.complain(_nothing_left(found))
        return FAILED
    if as_json:
        print(json.dumps(found.as_json(mistakes), indent=2, ensure_ascii=True))
    else:
        from tune.reporting.evaluated import print_evaluated

        print_evaluated(found, open_console(), mistakes)
    return FAILED if problems else DONE


def _evaluate(model: Model, folder: Path, *, include_seen: bool) -> EvaluatedModel:
    from trainable.inference.evaluation import judge, unseen_files
    from trainable.inference.labelled import labelled_files
    from tune.reporting.evaluated import EvaluatedModel
    from tune.reporting.labelling import answers

    spec = model.classifier.spec
    try:
        files = labelled_files(folder, spec.classes, several=spec.several)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    fresh, seen = unseen_files(model.classifier, files)
    chosen = files if include_seen else fresh
    told = answers(model.classifier, [file.path for file in chosen])
    return EvaluatedModel(
        name=model.name,
        folder=str(folder),
        classes=spec.classes,
        judged=judge(chosen, told, len(spec.classes), several=spec.several),
        seen=seen,
        seen_left_out=not include_seen,
        unsure_below=spec.unsure_below,
    )


def _nothing_left(found: EvaluatedModel) -> str:
    if found.seen and found.seen_left_out and not found.judged.problems:
        return (
            f"all {found.seen} images in {found.folder}, or duplicates of them, were seen in the "
            "model's search: give others, or --include-seen"
        )
    return f"no image in {found.folder} remains to be evaluated"


if __name__ == "__main__":
    app()
