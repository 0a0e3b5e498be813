"""What decodes an image file here: found by the file's first bytes, whatever its name says."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import BinaryIO, Final

import PIL
from PIL import Image

from trainable.data.decoding.kinds import kind_of, what_else

_LACKS: Final = {
    "HEIF": "HEIC needs a package: pip install 'resnet-tune[heif]'",
    "AVIF": "AVIF needs Pillow 11.3 or later: pip install --upgrade pillow",
}
"""What to do where a decoder is lacking."""


class NoDecoderError(ValueError):
    """An image of a format for which a package is lacking."""


def decoders() -> str:
    """What decodes images here: other versions may make other pixels of the same files."""
    heif = f", pillow-heif {version('pillow-heif')}" if find_spec("pillow_heif") else ""
    return f"Pillow {PIL.__version__}{heif}"


def decoder_of(head: bytes) -> str:
    """The name of Pillow's decoder for a file, and only that: no other looks at it.

    Args:
        head: The file's first :data:`~trainable.data.decoding.kinds.HEAD` bytes.

    Raises:
        NoDecoderError: There is none here.
        ValueError: It is no image.
    """
    kind = kind_of(head)
    if kind is None:
        raise ValueError(f"it is {what_else(head)}")
    if not _has_decoder(kind.name):
        raise NoDecoderError(_LACKS.get(kind.name, f"this Pillow has no decoder of {kind.name}"))
    return kind.name


def check_end(raw: BinaryIO) -> None:
    """Check that a JPEG 2000 is whole: its decoder makes an image of whatever there is.

    Raises:
        OSError: It breaks off.
    """
    place = raw.tell()
    raw.seek(0)
    content = raw.read()
    raw.seek(place)
    # Behind the header, bytes that would be a marker are none of the image's.
    if content.find(b"\xff\xd9", content.find(b"\xff\x4f\xff\x51")) < 0:
        raise OSError("image file is truncated")


@cache
def _has_decoder(name: str) -> bool:
    """Whether Pillow, or a package that adds to it, decodes a format. Such a package is loaded."""
    if name == "HEIF":
        if find_spec("pillow_heif") is None:
            return False
        import_module("pillow_heif").register_heif_opener()
    else:
        Image.preinit()  # the most usual ones; all would take a tenth of a second
        if name not in Image.OPEN:
            Image.init()
    return name in Image.SAVE  # a decoder that Pillow was built without is in OPEN all the same
