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
MOST_BITS: Final = 10
"""By how many bits of 63 the perceptual hashes of two images differ at most that may be copies."""
LEAST_CONTRAST: Final = 4.0
"""Standard deviation of a thumbnail, in shades, below which there is nothing to compare."""
THUMB: Final = 16
"""The side of a thumbnail."""
_AT_ONCE: Final = 1024
"""Images in memory that are described at once."""
_LOW: Final = 8
"""Frequencies of each direction that are hashed."""
_COSINES: Final = np.cos(np.pi / SIDE * np.outer(np.arange(_LOW), np.arange(SIDE) + 0.5)).astype(
    np.float32
)
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
        return cls(np.zeros(count, np.uint64), np.zeros((count, THUMB, THUMB, 3), np.uint8))

    @classmethod
    def of_pixels(cls, images: NDArray[np.uint8]) -> Looks:
        """The looks of images in memory, none of which looks like another where they are tiny.

        Args:
            images: uint8 of shape (N, R, R, 3).
        """
        looks = cls.empty(len(images))
        if min(images.shape[1:3]) < SIDE:
            return looks
        for start in range(0, len(images), _AT_ONCE):
            some = images[start : start + _AT_ONCE]
            if some.shape[1:3] != (SIDE, SIDE):
                some = np.stack([shrink(Image.fromarray(pixels)) for pixels in some])
            looks.put(start, some)
        return looks

    @classmethod
    def joined(cls, looks: Sequence[Looks]) -> Looks:
        """All of them in a row."""
        hashes, thumbs = [each.hashes for each in looks], [each.thumbs for each in looks]
        return cls(np.concatenate(hashes), np.concatenate(thumbs))

    def put(self, start: int, smalls: NDArray[np.uint8]) -> None:
        """Note how images look, unless they are too plain to look like anything.

        Args:
            start: The index of the first.
            smalls: What :func:`shrink` gave of each, uint8 of shape (n, 32, 32, 3).
        """
        where = slice(start, start + len(smalls))
        halves = smalls.reshape(-1, THUMB, SIDE // THUMB, THUMB, SIDE // THUMB, 3)
        thumbs = halves.mean((2, 4), dtype=np.float32)
        contrast = (thumbs - thumbs.mean((1, 2), keepdims=True)).std((1, 2, 3))
        self.thumbs[where] = thumbs.round()
        self.hashes[where] = np.where(contrast < LEAST_CONTRAST, 0, _hash(smalls))


def shrink(image: Image.Image) -> NDArray[np.uint8]:
    """An image in RGB or grey as a square of 32 pixels in RGB, uint8 of shape (32, 32, 3)."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small.convert("RGB"))


def _hash(smalls: NDArray[np.uint8]) -> NDArray[np.uint64]:
    frequencies = _COSINES @ (smalls.astype(np.float32) @ _GREY) @ _COSINES.T
    varying = frequencies.reshape(len(smalls), -1)[:, 1:]  # the first is the brightness
    bits = varying > np.median(varying, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)[:, 0]
