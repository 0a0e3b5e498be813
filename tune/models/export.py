"""A model as a file for other programs, written only if it answers as the model does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch
from torch import Tensor

from trainable.data import stored
from trainable.data.sizes import fit
from trainable.inference.classifier import Classifier
from trainable.inference.exported import Runner, open_onnx, open_pt2, save_onnx, save_pt2
from tune.models.formats import FORMATS, Form
from tune.models.lineage import UnknownDataError, dataset_of
from tune.models.lookup import Model
from tune.models.parity import Parity, compare, rates

_RANDOM_IMAGES: Final = 64
_CALIBRATION_IMAGES: Final = 256
_TIMED_IMAGES: Final = 128


class ParityError(ArithmeticError):
    """A file does not answer as its model does."""


@dataclass(frozen=True, eq=False)
class Images:
    """What a file is tried on.

    Attributes:
        images: uint8 of shape (N, 3, R, R): the test split's, or random.
        labels: int64 of shape (N,); None of random pixels.
        calibration: Some of the training split, as `images`; None where that is unknown.
        reason: Why they are random, if they are.
    """

    images: stored.Images
    labels: Tensor | None = None
    calibration: Tensor | None = None
    reason: str = ""


def images_of(model: Model) -> Images:
    """The test split that a model was tested on, or else random images."""
    generator = torch.Generator().manual_seed(0)
    try:
        if model.version is None or model.client is None:
            raise UnknownDataError(f"{model.name} does not name its images")
        dataset = dataset_of(model.client, model.version)
    except UnknownDataError as error:
        side = model.classifier.spec.image_size
        shape = (_RANDOM_IMAGES, 3, side, side)
        noise = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        return Images(noise, reason=str(error))
    some = torch.randperm(len(dataset.train), generator=generator)[:_CALIBRATION_IMAGES]
    test = dataset.test
    labels = test.labels if test.truth is None else test.truth
    return Images(test.images, labels, dataset.train.images[some])


@dataclass(frozen=True)
class Export:
    """A file that was written.

    Attributes:
        size: In bytes.
        parity: With its model.
        rates: The images a second of an int8 file, and those of the same network in float32 in
            the same runtime; None for other files.
    """

    size: int
    parity: Parity
    rates: tuple[float, float] | None = None


def export(
    model: Model, form: Form, images: Images, out: Path, tolerance: float | None = None
) -> Export:
    """Write a model as a file, if that answers as the model does.

    Args:
        model: The model.
        form: The format of the file. `int8` needs images of the training split.
        images: To try it on.
        out: The file; one that is there is replaced.
        tolerance: By how much it may fall short of the model; the format's own if it is None. Of
            `int8` it is the accuracy's, of others any probability's.

    Raises:
        ParityError: It does not; `out` is as it was.
    """
    classifier, side = model.classifier, model.classifier.spec.image_size
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        path = Path(folder) / out.name
        file, other = _write(classifier, form, images, path)
        parity = compare(
            classifier.probabilities,
            lambda batch: file(fit(batch, side)),
            images.images,
            images.labels,
        )
        _check(form, parity, FORMATS[form].tolerance if tolerance is None else tolerance)
        timed = fit(images.images[:_TIMED_IMAGES], side)
        speeds = None if other is None else rates((file, other), timed)
        size = path.stat().st_size
        path.replace(out)
    return Export(size, parity, speeds)


def _write(
    classifier: Classifier, form: Form, images: Images, path: Path
) -> tuple[Runner, Runner | None]:
    """Write a file, and open it; and beside one in integers, the same in float32."""
    if form == "pt2":
        save_pt2(classifier, path)
        return open_pt2(path), None
    if form == "onnx":
        save_onnx(classifier, path)
        return open_onnx(path), None
    from trainable.inference.quantization import save_int8  # which needs ONNX Runtime to be there

    assert images.calibration is not None
    float32 = path.with_suffix(".float32.onnx")
    save_onnx(classifier, float32)
    save_int8(float32, path, fit(images.calibration, classifier.spec.image_size))
    return open_onnx(path), open_onnx(float32)


def _check(form: Form, parity: Parity, tolerance: float) -> None:
    if form == "int8":
        if not parity.is_as_accurate(tolerance):
            raise ParityError(
                f"accuracy {parity.accuracy:.2%} instead of {parity.expected:.2%} on "
                f"{parity.images} images, and it may be {100 * tolerance:.4g} points lower at "
                "most; --tolerance allows more"
            )
    elif not parity.is_same(tolerance):
        raise ParityError(
            f"a probability differs by {parity.difference:.1e} on {parity.images} images, and "
            f"may by {tolerance:.0e} at most; --tolerance allows more"
        )
