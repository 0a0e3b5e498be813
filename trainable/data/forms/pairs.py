"""Images with labels, as libraries of data sets give them, as a source gives them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trainable.data.listing import Listing
from trainable.data.parts import Parts, SplitName
from trainable.data.sizes import stored_side

Pairs = Sequence[tuple[Path | Image.Image, int]]
"""Images, or the files of such, with the numbers of their classes."""


def file_or_image(image: Any) -> Path | Image.Image:
    """The file that an image is read from, where that is known; else the image.

    Raises:
        TypeError: It is no image.
    """
    if isinstance(image, str | Path):
        return Path(image)
    if not isinstance(image, Image.Image):
        raise TypeError(f"{type(image)} is no image")
    if (name := getattr(image, "filename", "")) and Path(name).is_file():
        image.close()
        return Path(name)
    return image


def held(image: Path | Image.Image, image_size: int) -> Path | Image.Image:
    """An image as it is held until the last is read: at the side at which it will be stored.

    What may stay as it is, since it is square and small, stays: only when all are known is it known
    whether all are alike.

    Args:
        image: The image, or its file.
        image_size: The side that the network sees, in pixels.
    """
    if isinstance(image, Path) or image.width == image.height <= image_size:
        return image
    return Image.fromarray(_square(image, stored_side(image_size)))


def from_pairs(
    found: Mapping[SplitName, Pairs],
    classes: Sequence[Any],
    image_size: int,
    notes: tuple[str, ...] = (),
) -> Listing | Parts:
    """What a source gives: a listing where all images are files, else arrays.

    Args:
        found: The images of each split.
        classes: What the classes are called, by their numbers; empty if they have no names.
        image_size: The side that the network sees, in pixels.
        notes: What was left out.
    """
    names, labels = _classes(found, classes)
    files = {
        name: [image for image, _ in pairs if isinstance(image, Path)]
        for name, pairs in found.items()
    }
    if all(len(files[name]) == len(pairs) for name, pairs in found.items()):
        return Listing(files, labels, names, notes=notes)
    return Parts(_squares(found, image_size), labels, names, notes=notes)


def _classes(
    found: Mapping[SplitName, Pairs], classes: Sequence[Any]
) -> tuple[tuple[str, ...], dict[SplitName, NDArray[np.int64]]]:
    """The names of the classes that there are images of, and the labels as indices into them."""
    labels = {name: np.array([label for _, label in pairs]) for name, pairs in found.items()}
    present = np.unique(np.concatenate(list(labels.values())))
    known = [_name(each) for each in classes]
    if present.max() >= len(known) or len({known[label] for label in present}) < len(present):
        known = [str(label) for label in range(present.max() + 1)]
    names = tuple(known[label] for label in present)
    return names, {name: np.searchsorted(present, each) for name, each in labels.items()}


def _name(known: Any) -> str:
    """The name of a class; of several names for it, as ImageNet's have, the first."""
    return str(known[0] if isinstance(known, list | tuple) else known)


def _squares(found: Mapping[SplitName, Pairs], image_size: int) -> dict[SplitName, Any]:
    """Images in memory as arrays of one size: their own where all are alike, square and small."""
    images = {name: [_opened(image) for image, _ in pairs] for name, pairs in found.items()}
    sizes = {image.size for each in images.values() for image in each}
    width, height = next(iter(sizes))
    is_small = len(sizes) == 1 and width == height <= image_size
    side = width if is_small else stored_side(image_size)
    return {
        name: np.stack([_square(image, side) for image in each]) for name, each in images.items()
    }


def _opened(image: Path | Image.Image) -> Image.Image:
    if not isinstance(image, Path):
        return image
    with Image.open(image) as opened:
        return opened.convert("RGB")


def _square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    rgb = image.convert("RGB")
    if rgb.size != (side, side):
        rgb = ImageOps.fit(rgb, (side, side), Image.Resampling.BILINEAR)
    return np.asarray(rgb)
