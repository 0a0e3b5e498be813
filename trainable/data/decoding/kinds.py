"""Which files are images: a usual suffix says so, else the first bytes do.

The list is closed. Pillow opens many more formats, some of which run other programs (EPS), have no
mark to be known by (TGA), or are made of parts whose size the header does not say (ICO).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HEAD: Final = 64
"""The bytes at the start of a file by which its format is known."""


@dataclass(frozen=True)
class Kind:
    """A format of image files.

    Attributes:
        name: What Pillow calls it.
        suffixes: How names of such files usually end, in lower case.
        start: A pattern of a file's first bytes.
    """

    name: str
    suffixes: tuple[str, ...]
    start: re.Pattern[bytes]


def _kind(name: str, suffixes: str, start: bytes) -> Kind:
    return Kind(name, tuple(suffixes.split()), re.compile(start, re.DOTALL))


_BRANDS: Final = rb"....ftyp(?:.{4})*?"
"""A box of ISO media, and some of the brands in it. The first is the file's own."""
KINDS: Final = (
    _kind("JPEG", ".jpg .jpeg .jpe .jfif .mpo", rb"\xff\xd8\xff"),
    _kind("PNG", ".png .apng", rb"\x89PNG\r\n\x1a\n"),
    _kind("WEBP", ".webp", rb"RIFF....WEBPVP8"),
    _kind("GIF", ".gif", rb"GIF8[79]a"),
    # Two letters begin many a text: the size of the header that follows them does not.
    _kind("BMP", ".bmp", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    _kind("PPM", ".ppm .pgm .pbm .pnm .pfm", rb"P[1-6f]\s+[0-9#]"),
    _kind("TIFF", ".tif .tiff", rb"II[*+]\0(?!....CR)|MM\0[*+]|II\0\*|MM\*\0"),
    _kind(
        "JPEG2000", ".jp2 .j2k .jpc .jpf .jpx .j2c", rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n"
    ),
    _kind("AVIF", ".avif .avifs", _BRANDS + rb"avi[fs]"),
    _kind("HEIF", ".heic .heif .hif .heics .heifs", _BRANDS + rb"(?:he[iv][cxms]|mi[fa]1|msf1)"),
)
"""What is decoded, of which the first that fits a file is its own: HEIF is the family of AVIF."""
SUFFIXES: Final = frozenset(suffix for kind in KINDS for suffix in kind.suffixes)
"""The endings of names of image files, in lower case."""
NAMES: Final = ", ".join(kind.name for kind in KINDS)
"""What messages say of all of them."""

_RAW: Final = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .iiq .kdc .mef .mrw .nef .nrw .orf .pef .raf .raw "
    ".rw2 .sr2 .srf .srw .x3f"
)
"""The endings of cameras' raw files. Many are TIFF files whose first page is but a thumbnail."""
_OTHERS: Final = (
    ("a camera's raw file", rb"II\*\0....CR|FUJIFILM|IIR[OS]|IIU\0|....ftypcrx"),
    ("PDF", rb"%PDF"),
    ("PSD", rb"8BPS"),
    ("an icon", rb"\0\0[\x01\x02]\0"),
    ("PostScript", rb"%!PS|\xc5\xd0\xd3\xc6"),
    ("SVG", rb"\s*<(?:\?xml|svg)"),
    ("a web page", rb"\s*<(?i:!doctype html|html|head|body)"),
    ("a video", rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3"),
    ("an archive", rb"PK\x03\x04|\x1f\x8b|BZh|7z\xbc\xaf|Rar!"),
    ("a NumPy array", rb"\x93NUMPY"),
    ("text", rb"[\t\n\r\x20-\x7e\x80-\xff]+\Z"),
)
"""What else is found among images, so that a message can say what a file is."""


def kind_of(head: bytes) -> Kind | None:
    """The format of an image file, or None of any other.

    Args:
        head: The file's first :data:`HEAD` bytes.
    """
    return next((kind for kind in KINDS if kind.start.match(head)), None)


def what_else(head: bytes) -> str:
    """What a file is that is no image, as far as its first bytes say."""
    if not head:
        return "empty"
    others = (name for name, start in _OTHERS if re.match(start, head, re.DOTALL))
    return next(others, "of no known format")


def why_no_image(path: Path) -> str | None:
    """Why a file is taken for no image; None where it is taken for one.

    A usual suffix is believed, so that a folder of a hundred thousand photographs is listed without
    opening them; who decodes the file finds out whether it is true.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return None
    if suffix and suffix in _RAW.split():
        return "a camera's raw file"
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        return error.strerror or "it cannot be read"
    return None if kind_of(head) else what_else(head)
