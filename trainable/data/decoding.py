"""One image file, decoded the way the training data is."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainable.data.looks import SIDE, shrink

MAX_BYTES: Final = 64 * 2**20
"""The largest image file that is read."""
MAX_PIXELS: Final = 80_000_000
"""The largest image that is decoded, to 240 MB. A small file may claim far more."""
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF")
"""What is decoded. Pillow knows many more, some of which run other programs."""

_UNREADABLE = (
    *(OSError, SyntaxError, ValueError),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
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
    with _opened(file) as image:
        # A JPEG decodes straight to a fraction of its size: far faster, as good here.
        image.draft("RGB", (2 * side, 2 * side))
        return _square(_as_rgb(ImageOps.exif_transpose(image)), side)


def read_small(file: Path | BinaryIO) -> NDArray[np.uint8]:
    """Decode an image upright in RGB, to the square by which it is compared with others.

    Raises:
        ImageError: The file is broken, no image, or too large.
    """
    with _opened(file) as image:
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        return shrink(_as_rgb(ImageOps.exif_transpose(image)))


def read_both(file: Path, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """What :func:`read_square` and :func:`read_small` give, decoded once where that is the same.

    Returns:
        uint8 of shape (side, side, 3), and of shape (32, 32, 3); None for the second of an image
        that is smaller.

    Raises:
        ImageError: The file is broken, no image, or too large.
    """
    with _opened(file) as image:
        is_large = min(image.size) >= SIDE
        if image.format != "JPEG":  # no other is decoded to a fraction of its size
            upright = _as_rgb(ImageOps.exif_transpose(image))
            return _square(upright, side), shrink(upright) if is_large else None
    return read_square(file, side), read_small(file) if is_large else None


def _square(upright: Image.Image, side: int) -> NDArray[np.uint8]:
    return np.asarray(ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip its shades, not scale them
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    return image.convert("RGB")


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """An image of shape (H, W, 3) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def as_thumbnail(pixels: NDArray[np.uint8], side: int) -> bytes:
    """An image of shape (H, W, 3) as a JPEG file of at most `side` pixels a side."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def image_size_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the file's header.

    Raises:
        ImageError: The file is broken or no image.
    """
    with _opened(path) as image:
        return image.size


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[Image.Image]:
    """An image file whose header has been read, and found to claim no more than is taken."""
    try:
        size = file.stat().st_size if isinstance(file, Path) else file.seek(0, os.SEEK_END)
        if size > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, and more than {MAX_BYTES:,} are not taken")
        if not isinstance(file, Path):
            file.seek(0)
        with Image.open(file, formats=_FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise ValueError(
                    f"it has {pixels:,} pixels, and more than {MAX_PIXELS:,} are not taken"
                )
            yield image
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path | BinaryIO, error: BaseException) -> ImageError:
    name = file if isinstance(file, Path) else getattr(file, "name", "the upload")
    reason: object = getattr(error, "strerror", None) or error  # which names no file again
    if isinstance(error, UnidentifiedImageError):
        reason = f"it is broken, or none of {', '.join(_FORMATS)}"
    return ImageError(f"{name} cannot be read as an image ({reason}): repair or remove it")
