"""Images in files: folders of them, and some that are not what they seem."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_folders(root: Path, classes: Sequence[str], images: int, side: int = 12) -> None:
    """A folder a class, with so many pictures of noise, no two of which are alike."""
    draw = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(images):
            pixels = draw.integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def bomb(width: int, height: int) -> str:
    """A small PNG file that claims to be large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        code = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + code

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()
