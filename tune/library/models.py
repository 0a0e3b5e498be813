"""A registered model, to be asked from Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias, cast

from tune.library.guest import as_guest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from tune.models.lookup import Model

    Picture: TypeAlias = str | Path | BinaryIO | bytes | Image | NDArray[np.uint8]
    """An image: a path, an open binary file, its bytes, an image of Pillow's, or an array of shape
    (H, W) or (H, W, 3)."""
    Pictures: TypeAlias = Picture | list[Picture] | tuple[Picture, ...]


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Attributes:
        label: The most probable class; where an image may have any number of labels, those that
            are more likely than not (`cat|dog`).
        probability: Its probability, 0 to 1; of several labels that of the least sure.
        probabilities: Of every class, by its name, the most probable first.
        unsure: Whether the probability is lower than that from which on the model was right often
            enough on its validation images.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    unsure: bool = False


class PredictionModel:
    """A trained model, which labels images in float32 on the CPU.

    Attributes:
        name: Where it is from, such as `models:/resnet18-photos/3`.
        classes: The names of its classes, in the order of its outputs.
    """

    def __init__(self, model: Model) -> None:
        self.name, self.classes = model.name, tuple(model.classifier.spec.classes)
        self._classifier = model.classifier

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {len(self.classes)} classes>"

    def predict(self, images: Pictures) -> list[Prediction]:
        """Label images, in their order.

        Args:
            images: One, or several.

        Raises:
            ValueError: An image cannot be read; it is named.
        """
        return [self._prediction(row) for row in self.predict_proba(images)]

    def predict_proba(self, images: Pictures) -> NDArray[np.float32]:
        """The probabilities of images' classes, float32 of shape (images, classes).

        Args:
            images: One, or several.

        Raises:
            ValueError: An image cannot be read; it is named.
        """
        import numpy as np

        from trainable.inference.labelling import label

        given = images if isinstance(images, list | tuple) else (images,)
        sources = [_source(image) for image in given]
        rows = []
        for answer in label(self._classifier, sources):
            if isinstance(answer.probabilities, ValueError):
                raise answer.probabilities
            rows.append(answer.probabilities)
        return np.stack(rows) if rows else np.empty((0, len(self.classes)), np.float32)

    def _prediction(self, row: NDArray[np.float32]) -> Prediction:
        order = (-row).argsort(kind="stable")
        found = {self.classes[index]: float(row[index]) for index in order}
        label, probability = self._classifier.answer(row)
        return Prediction(label, probability, found, bool(self._classifier.unsure(row)))


def load_model(name: str | None = None, *, tracking_uri: str | None = None) -> PredictionModel:
    """Load a model.

    Args:
        name: A registered model's name, which is its champion, `models:/NAME@ALIAS`,
            `models:/NAME/VERSION`, `imagenet`, or the folder of a classifier; by default the
            champion of the only registered model.
        tracking_uri: MLflow's tracking URI, if it is not what MLflow itself takes.

    Raises:
        ConfigError: There is no such model, or it cannot be read.
    """
    with as_guest():
        from tune.models.lookup import load_model as load

        return PredictionModel(load(name, tracking_uri))


_UNNAMED: Final = "an image"
_AS_PNG: Final = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_AS_TIFF: Final = {"I", "I;16B", "F", "LAB", "PA"}
"""The modes of Pillow's images that a file of a format can have."""


def _source(image: Picture) -> Path | BinaryIO:
    if isinstance(image, str | Path):
        return Path(image)
    from PIL.Image import Image, fromarray
    from PIL.ImageOps import exif_transpose

    from trainable.inference.labelling import Upload

    if isinstance(image, bytes):
        return Upload(image, _UNNAMED)
    if hasattr(image, "read"):
        return cast("BinaryIO", image)
    if not isinstance(image, Image):
        try:
            image = fromarray(image)
        except (AttributeError, TypeError, ValueError) as error:
            kinds = "a path, a file, bytes, an image of Pillow's, or an array of uint8 (H, W, 3)"
            raise ValueError(f"{type(image).__name__} is no image: give {kinds}") from error
    file = Upload(name=_UNNAMED)
    upright = exif_transpose(image)  # which the file would not say any more
    if upright.mode in _AS_TIFF:
        upright.save(file, "TIFF")
    else:
        (upright if upright.mode in _AS_PNG else upright.convert("RGB")).save(file, "PNG")
    file.seek(0)
    return file
