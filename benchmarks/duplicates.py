"""What is found of duplicates, what is confused, and what it takes.

    TUNE_REAL_DATA=FOLDER python benchmarks/duplicates.py    # --quick, --sheet FILE.png

`TUNE_REAL_DATA` is a folder that holds `data/hymenoptera.tar` and `data/cifar10-jpeg.tar.gz`.

Photographs: each of 397 is copied in 13 ways (saved again, made smaller, brighter, darker, cut at
its edges), and each kind of copy is searched for among the originals. *Found* is the share of
copies that are paired with their original; *confused* counts pairs of different photographs. The
same for stricter and looser correlations of the thumbnails than the one that is used.

CIFAR-10: 60,000 small images (10,000 with `--quick`), which do hold duplicates: how long it takes
to describe and to group them, beyond decoding, and what is found. Whether a pair is one is for the
eye: `--sheet` draws 64 of the pairs that are the least alike.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from searches import unpack, versions

from trainable.data.decoding.image_file import read_small
from trainable.data.forms.image_folder import image_files
from trainable.data.looks import Looks
from trainable.data.splitting import duplicates
from trainable.data.splitting.duplicates import LEAST_CORRELATION, group_images, near_pairs

CORRELATIONS: Final = (0.85, 0.9, 0.92, 0.95)
SHOWN: Final = 64
Change = Callable[[Image.Image], Image.Image]


def cut(percent: int, *, corner: bool = False) -> Change:
    """Takes so much off each edge, or off two of them."""

    def change(image: Image.Image) -> Image.Image:
        x, y = (side * percent // 100 for side in image.size)
        right, lower = (0, 0) if corner else (x, y)
        return image.crop((x, y, image.width - right, image.height - lower))

    return change


def scaled(factor: float) -> Change:
    """Makes it smaller."""

    def change(image: Image.Image) -> Image.Image:
        width, height = (max(32, int(side * factor)) for side in image.size)
        return image.resize((width, height), Image.Resampling.LANCZOS)

    return change


COPIES: Final[dict[str, tuple[Change, int]]] = {
    "JPEG, quality 75": (lambda image: image, 75),
    "JPEG, quality 30": (lambda image: image, 30),
    "half its size": (scaled(0.5), 85),
    "a quarter of its size": (scaled(0.25), 85),
    "20 % brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.2), 85),
    "20 % darker": (lambda image: ImageEnhance.Brightness(image).enhance(0.8), 85),
    "20 % more contrast": (lambda image: ImageEnhance.Contrast(image).enhance(1.2), 85),
    "1 % cut off each edge": (cut(1), 85),
    "2 % cut off each edge": (cut(2), 85),
    "3 % cut off each edge": (cut(3), 85),
    "5 % cut off each edge": (cut(5), 85),
    "8 % cut off each edge": (cut(8), 85),
    "5 % cut off two edges": (cut(5, corner=True), 85),
}
"""Each kind of copy, and the quality with which it is saved."""


def main() -> None:
    """Print both tables, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a quarter of the photos, 10,000 of CIFAR"
    )
    parser.add_argument("--sheet", type=Path, help="where the least alike pairs are drawn")
    given = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    real = os.environ.get("TUNE_REAL_DATA")
    if real is None:
        print("TUNE_REAL_DATA is not set: there are no images to compare")
        print(json.dumps({}))
        return
    with TemporaryDirectory() as folder:
        photos = image_files(unpack(Path(real) / "data" / "hymenoptera.tar", folder))
        figures = {"photos": of_photos(photos[:: 4 if given.quick else 1])}
        most = 10_000 if given.quick else 60_000
        figures["cifar"] = of_cifar(Path(real) / "data" / "cifar10-jpeg.tar.gz", most, given.sheet)
    print(json.dumps(figures))


def of_photos(files: list[Path]) -> dict[str, dict[str, list[float]]]:
    """The copies that are found, and the photographs that are confused, by each correlation."""
    originals = [read_small(file) for file in files]
    print(f"\n{len(files)} photographs; correlation {', '.join(map(str, CORRELATIONS))}")
    found = {}
    for kind, (change, quality) in COPIES.items():
        copies = [read_small(saved(change, file, quality)) for file in files]
        pairs = {least: pairs_of([*originals, *copies], least) for least in CORRELATIONS}
        apart = {least: each[:, 1] - each[:, 0] for least, each in pairs.items()}
        right = {least: (each == len(files)).sum() for least, each in apart.items()}
        shares = [round(float(right[least]) / len(files), 3) for least in CORRELATIONS]
        wrong = [int(len(pairs[least]) - right[least]) for least in CORRELATIONS]
        print(f"{kind:24s} found {shares}  confused {wrong}", flush=True)
        found[kind] = {"found": shares, "confused": [float(count) for count in wrong]}
    return found


def pairs_of(smalls: list[NDArray[np.uint8]], least: float) -> NDArray[np.int64]:
    """The pairs of images that correlate so well at least."""
    looks = Looks.of_pixels(np.stack(smalls))
    with mock.patch.object(duplicates, "LEAST_CORRELATION", least):
        return near_pairs(looks)


def saved(change: Change, file: Path, quality: int) -> io.BytesIO:
    """A changed copy of a photograph, as a JPEG file."""
    buffer = io.BytesIO()
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
        change(upright).save(buffer, "JPEG", quality=quality)
    return buffer


def of_cifar(archive: Path, most: int, sheet: Path | None) -> dict[str, float]:
    """What is found among many small images, and the time beyond decoding."""
    images = np.stack(read_archive(archive, most))
    start = time.perf_counter()
    looks = Looks.of_pixels(images)
    described = time.perf_counter()
    groups = group_images(np.arange(len(images), dtype=np.uint64), looks)
    end = time.perf_counter()
    sizes = np.unique(groups, return_counts=True)[1]
    copies = sizes[sizes > 1]
    figures = {
        "images": len(images),
        "describe_seconds": round(described - start, 2),
        "group_seconds": round(end - described, 2),
        "groups": len(copies),
        "in_groups": int(copies.sum()),
        "largest": int(copies.max(initial=0)),
    }
    print(f"\nCIFAR-10: {figures}", flush=True)
    if sheet is not None:
        draw(images, looks, sheet)
    return figures


def read_archive(archive: Path, most: int) -> list[NDArray[np.uint8]]:
    """The first so many images of an archive."""
    images: list[NDArray[np.uint8]] = []
    with tarfile.open(archive, "r|gz") as members:
        for member in members:
            file = members.extractfile(member) if member.name.endswith(".jpg") else None
            if file is not None:
                images.append(np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")))
                if len(images) == most:
                    break
    return images


def draw(images: NDArray[np.uint8], looks: Looks, sheet: Path) -> None:
    """Pairs that correlate just well enough, side by side."""
    pairs = near_pairs(looks)
    with mock.patch.object(duplicates, "LEAST_CORRELATION", LEAST_CORRELATION + 0.02):
        surer = {tuple(pair) for pair in near_pairs(looks).tolist()}
    barely = [pair for pair in pairs.tolist() if tuple(pair) not in surer]
    chosen = np.random.default_rng(0).permutation(len(barely))[:SHOWN]
    canvas = Image.new("RGB", (8 * 140, 8 * 70), "white")
    for place, index in enumerate(chosen):
        for side, number in enumerate(barely[index]):
            picture = Image.fromarray(images[number]).resize((64, 64), Image.Resampling.NEAREST)
            canvas.paste(picture, (place % 8 * 140 + side * 66, place // 8 * 70))
    canvas.save(sheet)
    print(f"{len(barely)} pairs are barely alike, {len(pairs)} in all: {len(chosen)} in {sheet}")


if __name__ == "__main__":
    main()
