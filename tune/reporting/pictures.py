"""Images in a page: small ones as they are, others as thumbnails."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainable.base.text import printable, shortened
from trainable.data.decoding.image_file import as_png, as_thumbnail

THUMBNAIL: Final = 160
"""The side of a picture in a gallery, in pixels."""
_NAME: Final = 60
"""Characters of a name that are shown; the pointer shows all of it."""


@dataclass(frozen=True)
class Picture:
    """An image as a page shows it.

    Attributes:
        source: The image itself, as a `data:` URL.
        name: Its file or its number.
        note: What is said of it.
        photo: Whether it is shown smoothly; else its pixels are to be seen.
    """

    source: str
    name: str
    note: str = ""
    photo: bool = False

    @property
    def shown(self) -> str:
        """The name, no longer than there is room for."""
        return shortened(self.name, _NAME)


def picture(pixels: NDArray[np.uint8], name: str, note: str = "", side: int = THUMBNAIL) -> Picture:
    """An image of shape (H, W, 3) with its name."""
    return Picture(as_source(pixels, side), printable(name), printable(note), len(pixels) > side)


def as_source(pixels: NDArray[np.uint8], side: int = THUMBNAIL) -> str:
    """An image of shape (H, W, 3) as a `data:` URL, of at most `side` pixels a side."""
    kind, content = "png", b""
    if len(pixels) > side:  # as it is, it would take as much room as all the figures
        kind, content = "jpeg", as_thumbnail(pixels, side)
    else:
        content = as_png(pixels)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
