"""One image file, decoded the way the training data is."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainable.data.decoding.decoders import NoDecoderError, check_end, decoder_of
from trainable.data.decoding.kinds import HEAD
from trainable.data.decoding.room import Room
from trainable.data.decoding.shades import Samples
from trainable.data.looks import SIDE, shrink

MAX_BYTES: Final = 64 * 2**20
"""The largest image file that is read."""
MAX_PIXELS: Final = 80_000_000
"""The largest image that is decoded, and the most that a process decodes at once. A small file may
claim far more."""
_ROOM: Final = Room(MAX_PIXELS)
_THUMBNAIL, _DNG = 254, 50706
"""TIFF's tags NewSubfileType, whose lowest bit marks a smaller copy of a page, and DNGVersion."""
_WEIGHTS: Final = {"WEBP": 2, "JPEG2000": 2}
"""By how much more memory a format needs while it is decoded than others do."""

# An image in one piece: glibc gives a large piece back to the system at once, and keeps Pillow's
# usual ones of 16 MB for the thread that had them.
Image.core.set_block_size(512 * 2**20)  # type: ignore[attr-defined]

_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, RuntimeError, EOFError, struct.error),
    *(ArithmeticError, LookupError, TypeError),  # of tags whose values have another type
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What Pillow raises on files that are broken, no images, or too large to be decoded."""


class ImageError(ValueError):
    """A file that cannot be read as an image.

    Args:
        message: Which, why, and what to do about it.
        brief: Which, and why.
    """

    def __init__(self, message: str, brief: str | None = None) -> None:
        super().__init__(message)
        self.brief = brief or message


def read_squares(files: Sequence[Path], side: int) -> NDArray[np.uint8]:
    """What :func:`read_square` gives of each file: uint8 of shape (n, side, side, 3)."""
    out = np.empty((len(files), side, side, 3), np.uint8)
    for row, file in enumerate(files):
        out[row] = read_square(file, side)
    return out


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
    # A JPEG decodes straight to a fraction of its size: far faster, as good here.
    with _upright(file, 2 * side) as image:
        return _square(image, side)


def read_small(file: Path | BinaryIO) -> NDArray[np.uint8]:
    """Decode an image upright in RGB, to the square by which it is compared with others.

    Raises:
        ImageError: The file is broken, no image, or too large.
    """
    with _upright(file, 2 * SIDE) as image:
        return shrink(image)


def read_looks(file: BinaryIO) -> tuple[tuple[int, int], NDArray[np.uint8] | None]:
    """Width and height in pixels, as the header has them, and what :func:`read_small` gives.

    All of it is decoded, so that a broken file is found here.

    Returns:
        The size, and uint8 of shape (32, 32, 3); None for an image that is smaller.

    Raises:
        ImageError: The file is broken, no image, or too large.
    """
    with _opened(file) as image:
        size = image.size
        with _decoded(image, 2 * SIDE) as upright:
            return size, shrink(upright) if min(size) >= SIDE else None


def read_both(file: Path, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """What :func:`read_square` and :func:`read_small` give, decoded once where that is the same.

    Returns:
        uint8 of shape (side, side, 3), and of shape (32, 32, 3); None for the second of an image
        that is smaller.

    Raises:
        ImageError: The file is broken, no image, or too large.
    """
    with _opened(file) as image:
        is_large, has_fractions = min(image.size) >= SIDE, _has_fractions(image)
    if has_fractions:
        return read_square(file, side), read_small(file) if is_large else None
    with _upright(file) as image:
        return _square(image, side), shrink(image) if is_large else None


def _square(upright: Image.Image, side: int) -> NDArray[np.uint8]:
    square = ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR)
    return np.asarray(square.convert("RGB"))


@contextmanager
def _upright(file: Path | BinaryIO, least: int | None = None) -> Iterator[Image.Image]:
    """An image as it stands, in RGB or grey, once there is room for it in memory.

    Args:
        file: A path, or an open binary file.
        least: The side that a JPEG needs not be larger than; None decodes it whole.

    Raises:
        ImageError: The file is broken, no image, or too large.
    """
    with _opened(file) as image, _decoded(image, least) as upright:
        yield upright


@contextmanager
def _decoded(image: Image.Image, least: int | None) -> Iterator[Image.Image]:
    """An image that has been opened, as :func:`_upright` gives it."""
    whole = image.width * image.height
    if least is not None and _has_fractions(image):
        image.draft("RGB", (least, least))
    # A progressive JPEG is held whole while it is decoded to a fraction.
    pixels = whole if image.info.get("progressive") else image.width * image.height
    samples = Samples.of(image)
    with _ROOM.of(min(pixels * _WEIGHTS.get(image.format or "", 1), MAX_PIXELS)):
        _turn_upright(image)
        # Both end here: whoever reads an image may hold it until another has its room.
        with image, samples.as_rgb(image) as upright:
            yield upright


def _turn_upright(image: Image.Image) -> None:
    """Decode an image, and turn it as its EXIF data say."""
    image.load()
    image.getexif()  # which is remembered
    for key in ("exif", "Raw profile type exif"):  # else all is written anew, odd tags or not
        image.info.pop(key, None)
    ImageOps.exif_transpose(image, in_place=True)


def _has_fractions(image: Image.Image) -> bool:
    """Whether an image is decoded straight to a fraction of its size where that suffices.

    A JPEG of several pictures (MPO) could be, and is decoded whole in training.
    """
    return image.format == "JPEG"


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


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[Image.Image]:
    """An image file whose header has been read, and found to claim no more than is taken."""
    try:
        with _seekable(file) as raw, Image.open(raw, formats=(_decoder(raw),)) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise ValueError(
                    f"it has {pixels:,} pixels, and more than {MAX_PIXELS:,} are not taken"
                )
            if image.format == "JPEG2000":
                check_end(raw)
            tags = getattr(image, "tag_v2", {})
            if tags.get(_THUMBNAIL, 0) & 1 or _DNG in tags:
                raise ValueError("its first page is the thumbnail of a camera's raw file")
            yield image
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error


@contextmanager
def _seekable(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    """A file that is open; what a pipe gives is read first."""
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as raw:
        yield raw if raw.seekable() else io.BytesIO(raw.read(MAX_BYTES + 1))


def _decoder(raw: BinaryIO) -> str:
    """What decodes a file.

    Raises:
        ValueError: It is too large, or nothing does.
    """
    size = raw.seek(0, os.SEEK_END)
    if size > MAX_BYTES:
        raise ValueError(f"it has {size:,} bytes, and more than {MAX_BYTES:,} are not taken")
    raw.seek(0)
    return decoder_of(raw.read(HEAD))


def _unreadable(file: Path | BinaryIO, error: BaseException) -> ImageError:
    name = file if isinstance(file, Path) else getattr(file, "name", "the upload")
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{name} cannot be read: there is no such file", f"{name} (not there)")
    if isinstance(error, NoDecoderError):
        return ImageError(f"{name} cannot be read here: {error}", f"{name} ({error})")
    reason: object = getattr(error, "strerror", None) or error  # which names no file again
    if isinstance(error, UnidentifiedImageError):
        reason = "it is broken, or of a variant of its format that is not decoded"
    return ImageError(
        f"{name} cannot be read as an image ({reason}): repair or remove it", f"{name} ({reason})"
    )
