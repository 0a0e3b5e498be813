"""Tables of images with any number of labels."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIDES = ("left", "right", "top")
"""Labels: each says that this part of the image is bright."""


def write_table(folder: Path, count: int, *, split: Sequence[str] = (), side: int = 16) -> Path:
    """A table of so many images, of which each has its own noise and any of :data:`SIDES`."""
    draw = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        has = draw.random(len(SIDES)) < (0.5, 0.4, 0.2)
        pixels = draw.integers(0, 90, (side, side, 3))
        pixels[:, : side // 2] += 110 * has[0]
        pixels[:, side // 2 :] += 110 * has[1]
        pixels[: side // 3] += 55 * has[2]
        name = f"images/{number:04d}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        labels = "|".join(label for label, there in zip(SIDES, has, strict=True) if there)
        rows.append({"path": name, "label": labels})
        if split:
            rows[-1]["split"] = split[number % len(split)]
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "labels.csv"
