"""How an image looks: little enough to compare every image with every other.

A perceptual hash finds the pairs that may be copies of each other, a thumbnail decides. The hash is
the signs of the lowest frequencies of the grey image (pHash, Zauner 2010): where it is brighter and
darker, which neither another size nor another quality changes much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE: Final = 32
"""The side of what is hashed. Images that are smaller look too much alike."""
LEAST_CONTRAST: Final = 4.0
"""Standard deviation of a thumbnail, in shades, below which there is nothing to compare."""
_THUMB: Final = 16
_LOW: Final = 8
"""Frequencies of each direction that are hashed."""
_COSINES: Final = np.cos(np.pi / SIDE * np.outer(np.arange(_LOW), np.arange(SIDE) + 0.5))
_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Looks:
    """How images look.

    Attributes:
        hashes: Perceptual hashes of 63 bits, uint64 of shape (N,); 0 where there is none.
        thumbs: Thumbnails, uint8 of shape (N, 16, 16, 3).
    """

    hashes: NDArray[np.uint64]
    thumbs: NDArray[np.uint8]

    @classmethod
    def empty(cls, count: int) -> Looks:
        """Room for so many images, of which each that is not put there looks like no other."""
        return cls(np.zeros(count, np.uint64), np.zeros((count, _THUMB, _THUMB, 3), np.uint8))

    @classmethod
    def of_pixels(cls, images: NDArray[np.uint8]) -> Looks:
        """The looks of images in memory, none of which looks like another where they are tiny.

        Args:
            images: uint8 of shape (N, R, R, 3).
        """
        looks = cls.empty(len(images))
        if min(images.shape[1:3]) < SIDE:
            return looks
        for index, pixels in enumerate(images):
            looks.put(index, shrink(Image.fromarray(pixels)))
        return looks

    @classmethod
    def joined(cls, looks: Sequence[Looks]) -> Looks:
        """All of them in a row."""
        hashes, thumbs = [each.hashes for each in looks], [each.thumbs for each in looks]
        return cls(np.concatenate(hashes), np.concatenate(thumbs))

    def put(self, index: int, small: NDArray[np.uint8]) -> None:
        """Note how an image looks, of which :func:`shrink` gave this, if it is not too plain."""
        halves = small.reshape(_THUMB, SIDE // _THUMB, _THUMB, SIDE // _THUMB, 3)
        thumb = halves.mean((1, 3))
        if (thumb - thumb.mean((0, 1))).std() >= LEAST_CONTRAST:
            self.hashes[index], self.thumbs[index] = _hash(small), thumb.round()


def shrink(image: Image.Image) -> NDArray[np.uint8]:
    """An image in RGB as a square of 32 pixels, uint8 of shape (32, 32, 3)."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _hash(small: NDArray[np.uint8]) -> int:
    frequencies = _COSINES @ (small.astype(np.float32) @ _GREY) @ _COSINES.T
    varying = frequencies.ravel()[1:]  # the first is the brightness
    bits = varying > np.median(varying)
    return int.from_bytes(np.packbits(bits).tobytes())
