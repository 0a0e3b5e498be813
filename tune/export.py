"""`python -m tune.export`: a model as one file that needs nothing of this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.base.errors import DONE, FAILED, ConfigError
from tune.cli import Door, ModelOption, UriOption
from tune.models.formats import FORMATS, Form, check_file, file_name

if TYPE_CHECKING:
    from tune.models.export import Export, Images

app = Door("tune.export")


@app.command()
def main(
    form: Annotated[
        Form,
        typer.Option("--format", help="ONNX, PyTorch's pt2, or ONNX in eight-bit integers."),
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The file, ending in .onnx or .pt2; one that exists is replaced. By default it is "
            "named after the model, in this folder.",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="By how much the accuracy of an int8 file may be lower, by default "
            f"{FORMATS['int8'].tolerance} (a point); of other files, by how much a probability may "
            f"differ, by default {FORMATS['onnx'].tolerance}.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    uri: UriOption = None,
) -> int:
    """Write a model as a file, and check that its predictions are the model's.

    The file takes `pixels`, uint8 of shape (N, 3, S, S), and returns `probabilities`. Its
    metadata hold the names of the classes. Both are compared on the test split; where its images
    are unknown or have changed, on random ones, which int8 refuses. If the predictions differ, no
    file is written.

    Examples:
    `python -m tune.export --format onnx`

    `python -m tune.export --model models:/resnet18-digits/3 --format int8 --out digits.onnx`

    Exit code: 0 done, 1 the predictions differ, 2 a mistake in the command.
    """
    check_file(form, out)

    from tune.models.export import ParityError, export, images_of
    from tune.models.lookup import load_model

    found = load_model(model, uri)
    path = out or Path(file_name(found.name, form))
    images = images_of(found)
    if form == "int8" and images.calibration is None:
        raise ConfigError(
            f"--format int8 needs training images to measure ranges on, and the test split: "
            f"{images.reason}"
        )
    try:
        written = export(found, form, images, path, tolerance)
    except ParityError as error:
        app.complain(f"{path} is not written: {error}")
        return FAILED
    _report(path, images, written)
    return DONE


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


if __name__ == "__main__":
    app()
