"""What identifies an image: a hash of its content, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def hash_file(path: Path) -> int:
    """The hash of a file's bytes, which no other setting than the file itself decides."""
    with path.open("rb") as file:
        return hash_open(file)


def hash_open(file: BufferedReader) -> int:
    """The same of a file that is open, from where it stands."""
    return _first_bytes(hashlib.file_digest(file, "sha256").digest())


def hash_pixels(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hash of each image's pixels.

    Args:
        images: uint8 of shape (N, R, R, 3).

    Returns:
        uint64 of shape (N,).
    """
    shape = repr(images.shape[1:]).encode()
    hashes = (hashlib.sha256(shape + image.tobytes()).digest() for image in images)
    return np.fromiter(map(_first_bytes, hashes), np.uint64, len(images))


def hash_text(text: str) -> int:
    """The hash of a name, also of a file's that is no UTF-8."""
    return _first_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest())


def uniform(groups: NDArray[np.uint64], purpose: str) -> NDArray[np.float64]:
    """A number in [0, 1) for each group: uniform, and for each purpose independent of the others.

    Args:
        groups: uint64 of shape (N,).
        purpose: The key of the hash that draws the number.

    Returns:
        float64 of shape (N,).
    """
    unique, inverse = np.unique(groups, return_inverse=True)
    key = purpose.encode()
    drawn = (
        _first_bytes(hashlib.blake2b(group.tobytes(), key=key, digest_size=8).digest())
        for group in unique.astype(">u8")
    )
    # Of 53 bits: so many has a float, which is below 1 then.
    numbers = np.fromiter(drawn, np.uint64, len(unique)) >> np.uint64(11)
    return (numbers / 2.0**53)[inverse]


def _first_bytes(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")
