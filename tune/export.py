"""`python -m tune.export`: a model as one file that needs nothing of this package."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.cli import ModelOption, UriOption
from tune.environment import prepare_environment
from tune.errors import ConfigError
from tune.models.formats import FORMATS, Form

if TYPE_CHECKING:
    from tune.models.export import Export, Images

DONE, FAILED, MISTAKE = 0, 1, 2
"""Exit codes."""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    form: Annotated[
        Form,
        typer.Option("--format", help="ONNX, PyTorch's own, or ONNX in eight-bit integers."),
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file, ending in .onnx or .pt2; replaced if it is there. By default it is "
            "called as the model, here.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    uri: UriOption = None,
) -> None:
    """Write a model as a file, and check that it answers as the model does.

    The file takes `pixels`, uint8 of shape (N, 3, S, S), and gives `probabilities`. Its
    metadata hold the names of the classes. Both are tried on the test split; where its images
    are not known any more, on random ones, which int8 refuses. If the answers differ, no file
    is written.

    Examples:
    `python -m tune.export --format onnx`

    `python -m tune.export --model models:/resnet18-digits/3 --format int8 --out digits.onnx`

    Exit code: 0 done, 1 the answers differ, 2 a mistake in the command.
    """
    prepare_environment()
    try:
        _check(form, out or Path(f"model{FORMATS[form].suffix}"))
        sys.exit(_export(form, out, model, uri))
    except ConfigError as error:
        _complain(str(error))
        sys.exit(MISTAKE)


def _check(form: Form, out: Path) -> None:
    rules = FORMATS[form]
    if out.suffix != rules.suffix:
        raise ConfigError(f"--out {out}: with --format {form} its name must end in {rules.suffix}")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")
    missing = [name for name in rules.packages if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"--format {form} needs {', '.join(missing)}: pip install 'resnet-tune[export]'"
        )


def _export(form: Form, given_out: Path | None, given: str | None, uri: str | None) -> int:
    from tune.models.export import ParityError, export, images_of
    from tune.models.lookup import load_model

    model = load_model(given, uri)
    out = given_out or Path(file_name(model.name, form))
    images = images_of(model)
    if form == "int8" and images.calibration is None:
        raise ConfigError(
            f"--format int8 needs training images to measure ranges on, and the test split: "
            f"{images.reason}"
        )
    try:
        written = export(model, form, images, out)
    except ParityError as error:
        _complain(f"{out} is not written: {error}")
        return FAILED
    _report(out, images, written)
    return DONE


def file_name(model: str, form: Form) -> str:
    """What a model's file is called where nothing else is said: `resnet18-digits-3.onnx`."""
    registered = model.removeprefix("models:/")
    name = Path(model).resolve().name if registered == model else registered.replace("/", "-")
    return name + FORMATS[form].ending


def _report(out: Path, images: Images, written: Export) -> None:
    parity = written.parity
    kind = f"random images ({images.reason})" if images.labels is None else "test images"
    print(f"{out}: {written.size / 10**6:.1f} MB")
    print(f"parity   {parity.images} {kind}: no probability differs by more than", end=" ")
    print(f"{parity.difference:.1e}")
    if parity.accuracy is not None:
        print(f"accuracy {parity.accuracy:.2%}, the model's {parity.expected:.2%}")
    if written.rates is not None:
        own, float32 = written.rates
        print(
            f"speed    {own:,.0f} images a second, {float32:,.0f} in float32: "
            f"{own / float32:.1f} times as fast in ONNX Runtime"
        )


def _complain(message: str) -> None:
    print(f"tune.export: {message}", file=sys.stderr)


if __name__ == "__main__":
    app()
