"""One image file, decoded the way the training data is."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises on files that are broken, no images, or too large to be decoded."""


class ImageError(ValueError):
    """A file that cannot be read as an image."""


def read_square(file: Path | BinaryIO, side: int) -> NDArray[np.uint8]:
    """Decode an image upright in RGB, its short side resized to `side`, centre cropped.

    Args:
        file: A path, or an open binary file.
        side: Side of the result, in pixels.

    Returns:
        uint8 of shape (side, side, 3).

    Raises:
        ImageError: The file is broken, no image, or too large.
    """
    try:
        with Image.open(file) as image:
            # A JPEG decodes straight to a fraction of its size: far faster, as good here.
            image.draft("RGB", (2 * side, 2 * side))
            upright = _as_rgb(ImageOps.exif_transpose(image))
            return np.asarray(ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR))
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip its shades, not scale them
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    return image.convert("RGB")


def image_size_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the file's header.

    Raises:
        ImageError: The file is broken or no image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(file: Path | BinaryIO, error: BaseException) -> ImageError:
    name = file if isinstance(file, Path) else "the upload"
    return ImageError(f"{name} cannot be read as an image ({error}): repair or remove it")
