"""What the samples of a file mean as shades of 8 bits: ranges, transparency, colour spaces.

The rules look at one file alone, so that an image is the same in training and when it is predicted:
see docs/decisions/0040-shades-of-any-file.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

BACKGROUND: Final = (255, 255, 255)
"""What is seen through transparent pixels: white."""
_DARK: Final = 16
"""The parts of a range of which an image must use more than one: under 4,096 of 65,535 it is almost
black, and more likely a camera's 12 bits."""
_BITS, _PHOTOMETRIC = 258, 262
_MAXIMA: Final = (281, 341)
"""TIFF's tags MaxSampleValue and SMaxSampleValue."""
_WHITE_IS_ZERO: Final = 0
_SWAPPED: Final[dict[str, type[np.generic]]] = {
    "F;32BF": np.float32,
    "I;32BS": np.int32,
    "I;16BS": np.int16,
}
"""Pillow's modes of big-endian samples, which it forgets that libtiff has turned round already."""
_REMEDY: Final = "save it with 8 bits, or with the whole range of 16"


@dataclass(frozen=True)
class Samples:
    """How a file stores its samples: what Pillow knows before it decodes them, and not after.

    Attributes:
        bits: Those that a sample uses, where the file says so.
        assumed: Those that it uses where the file does not.
        wide: Whether Pillow drops the lower 8 of 16 bits.
        inverted: Whether 0 is white, and Pillow leaves it so.
        swapped: The type of the samples of which Pillow has the bytes in the wrong order.
    """

    bits: int | None
    assumed: int
    wide: bool
    inverted: bool
    swapped: type[np.generic] | None = None

    @classmethod
    def of(cls, image: Image.Image) -> Samples:
        """Those of an image that is opened and not decoded yet."""
        tags = getattr(image, "tag_v2", {})
        tiles: Sequence[Any] = getattr(image, "tile", ())
        packed = any(";16" in str(each[3]) for each in tiles)
        deep = image.mode[0] in "IF"
        return cls(
            # A portable map of another white than that of its type is scaled to 16 bits.
            bits=16 if tiles and tiles[0][0].startswith("ppm") else _declared(tags),
            assumed=16 if image.mode.startswith("I;16") or image.format == "PPM" else 8,
            wide=packed and not deep and image.format in {"PNG", "TIFF"},
            swapped=_SWAPPED.get(tiles[0][3][0]) if deep and _is_by_libtiff(tiles) else None,
            inverted=deep and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
        )

    def as_rgb(self, image: Image.Image) -> Image.Image:
        """An image in RGB, or in grey where it has no colours, which takes a quarter of the memory.

        Args:
            image: Whose samples they are, decoded.

        Raises:
            ValueError: It cannot be known which of its values is white.
        """
        if image.mode[0] in "IF":
            values = np.asarray(image)
            if self.swapped is not None:
                values = values.astype(self.swapped).byteswap()
            shades = _of_floats(values) if image.mode == "F" else self._of_integers(values)
            if self.inverted:
                shades = 255 - shades
            if isinstance(key := image.info.get("transparency"), int):
                shades[values == key] = BACKGROUND[0]
            return Image.fromarray(shades)
        if self.wide:
            self._check_wide(image)
        if image.has_transparency_data:
            return _on_background(image)
        if image.mode == "LAB":
            return _from_lab(image)
        mode = "L" if image.mode in {"1", "L"} else "RGB"
        return image if image.mode == mode else image.convert(mode)

    def _of_integers(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        low, high = int(values.min()), int(values.max())
        bits, whole = max(8, self.bits or self.assumed), self.assumed == 16
        if low < 0 or (high >= 1 << bits and not whole):
            raise ValueError(
                f"its values go from {low:,} to {high:,}, and it does not say which are black and "
                f"white: {_REMEDY}"
            )
        if whole and self.bits is None and 0 < high < (1 << bits) // _DARK:
            raise ValueError(_too_dark(f"value is above {high:,}"))
        white = (1 << bits) - 1
        return (np.minimum(values, white) >> (bits - 8)).astype(np.uint8)

    def _check_wide(self, image: Image.Image) -> None:
        if self.bits not in {None, 16}:
            raise ValueError(f"its colours have {self.bits} bits in 16: {_REMEDY}")
        colours = [image.getchannel(each) for each in image.getbands() if each in "RGBL"]
        if colours and not any(sum(each.histogram()[256 // _DARK :]) for each in colours):
            raise ValueError(_too_dark("colour is above 4,095"))


def _is_by_libtiff(tiles: Sequence[Any]) -> bool:
    return len(tiles) > 0 and tiles[0][0] == "libtiff"


def _declared(tags: Any) -> int | None:
    """The bits that a TIFF file's samples use, where its tags say so.

    The greatest value may be that of this image alone, so only its bits are taken.
    """
    bits = np.atleast_1d(tags.get(_BITS, 0)).max()
    if 8 < bits < 16:
        return int(bits)
    maxima = [np.atleast_1d(tags[tag]).max() for tag in _MAXIMA if tag in tags]
    return int(max(maxima)).bit_length() if maxima and max(maxima) > 0 else None


def _too_dark(what: str) -> str:
    return f"no {what}, which is black if white is 65,535, as its 16 bits say: {_REMEDY}"


def _of_floats(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    fits = high == 0 or 1 / _DARK <= high <= 1 or 256 / _DARK <= high <= 255
    if not (low >= 0 and fits):  # NaN is no number
        raise ValueError(
            f"its values go from {low:g} to {high:g}, and floats are taken from 0 to 1, or from 0 "
            "to 255, if one reaches a sixteenth of that: scale it, or save it with 8 bits"
        )
    return (values * np.float32(255) + np.float32(0.5) if high <= 1 else values).astype(np.uint8)


def _on_background(image: Image.Image) -> Image.Image:
    """An image over white. An alpha channel that lets nothing be seen is none."""
    rgba = image if image.mode == "RGBA" else _with_alpha(image)
    alpha, rgb = rgba.getchannel("A"), rgba.convert("RGB")
    seen = alpha.histogram()
    if seen[0] < alpha.width * alpha.height and seen[255] < alpha.width * alpha.height:
        rgb.paste(BACKGROUND, mask=ImageChops.invert(alpha))
    return rgb


def _with_alpha(image: Image.Image) -> Image.Image:
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    found = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert found is not None  # which only an image that is changed in its place gives
    return found
