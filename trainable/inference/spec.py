"""How a classifier's network is built and its input made, as a file says it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from trainable.config import Arch, ImageSize

_MOST_BYTES: Final = 16 * 2**20
"""The largest `classifier.json` that is read."""


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    name, count = Counter(classes).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{name!a} is there {count} times, and a class's name is its own")
    return classes


@dataclass(frozen=True)
class Spec:
    """How a classifier's network is built and its input made. The rules hold for what is read.

    Attributes:
        arch: Name of the network, such as `resnet18`.
        classes: Names, in the order of the outputs.
        stored_side: Side files are decoded to, in pixels, as the training data was.
        image_size: Side the network sees, in pixels.
        flips: Whether it is shown each image's mirror image too, and answers with the mean.
        temperature: What the logits are divided by, so that probabilities say how often an answer
            is right; 1 of a model that is not calibrated.
        unsure_below: The probability of an answer below which it is unsure; 0 where none is, above
            1 where each is. Of several labels it is that of the least sure.
        several: Whether an image may have any number of the labels, each with a probability of its
            own; it has those of a probability above one half.
    """

    arch: Arch
    classes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...],
        Field(min_length=2, max_length=100_000),
        AfterValidator(_distinct),
    ]
    stored_side: Annotated[int, Field(ge=1, le=2048)]
    image_size: ImageSize
    flips: bool = False
    temperature: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    unsure_below: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0
    several: bool = False

    @classmethod
    def read(cls, path: Path) -> Spec:
        """Read a file that may be damaged or made by hand.

        Raises:
            OSError: It cannot be read.
            ValueError: It breaks a rule; says which, in one line.
        """
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"{path.name} has more than {_MOST_BYTES:,} bytes")
        try:
            return TypeAdapter(cls).validate_json(content, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            value = f"{key}={ascii(first['input'])[:60]}: " if key else ""
            message = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"{path.name}: {value}{message}") from error
