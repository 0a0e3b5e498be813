"""A folder of class folders, decoded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.datasets.folder import IMG_EXTENSIONS

from trainable.data.decoding import image_size_of, read_both
from trainable.data.hashing import hash_file
from trainable.data.looks import Looks
from trainable.data.parts import SPLITS, Parts
from trainable.data.sizes import stored_side


def read_image_folder(root: Path, image_size: int) -> Parts:
    """Decode every image under `root`.

    Args:
        root: With a folder per class, or with `train`, `val`, `test` folders of those.
        image_size: Side that the network sees, in pixels; it decides the stored side R.

    Raises:
        ValueError: There are no classes, they differ between splits, one is empty, or a
            file cannot be read as the image that its name says it is.
    """
    folders = {name: root / name for name in SPLITS if (root / name).is_dir()}
    if "train" not in folders:
        folders = {"train": root}
    classes = _class_names(folders["train"])
    for folder in folders.values():
        if _class_names(folder) != classes:
            raise ValueError(f"{folder} has other class folders than {folders['train']}")
    files = {name: _labelled_files(folder, classes) for name, folder in folders.items()}
    paths = [path for pairs in files.values() for path, _ in pairs]
    side = _stored_side(paths, image_size)
    named = {name: [path for path, _ in pairs] for name, pairs in files.items()}
    decoded = {name: _decode(each, side) for name, each in named.items()}
    return Parts(
        images={name: images for name, (images, *_) in decoded.items()},
        labels={name: np.array([label for _, label in pairs]) for name, pairs in files.items()},
        classes=classes,
        skipped=sum(_count_files(folder, classes) for folder in folders.values()) - len(paths),
        files=named,
        hashes={name: hashes for name, (_, hashes, _) in decoded.items()},
        looks={name: looks for name, (*_, looks) in decoded.items()},
    )


def image_files(folder: Path) -> list[Path]:
    """The files of image types in a folder and in those inside it, sorted."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMG_EXTENSIONS and path.is_file()
    ]


def no_image_in(folder: Path) -> str:
    """A message that a folder has none of :func:`image_files`."""
    return f"{folder} holds no image ({', '.join(IMG_EXTENSIONS)})"


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise ValueError(f"data.root={folder} is not a folder: give one with a folder per class")
    names = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )
    for name in names:
        if any("\udc80" <= each <= "\udcff" for each in name):  # so Python writes other bytes
            raise ValueError(f"{folder / name} has a name that is no UTF-8: rename it")
    if len(names) < 2:
        raise ValueError(f"{folder} has {len(names)} class folders: at least 2 are needed")
    return tuple(names)


def _labelled_files(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """The image files in sorted order, so that storage order is the same everywhere."""
    found = [
        (path, label) for label, name in enumerate(classes) for path in image_files(folder / name)
    ]
    empty = set(range(len(classes))) - {label for _, label in found}
    if empty:
        raise ValueError(no_image_in(folder / classes[min(empty)]))
    return found


def _count_files(folder: Path, classes: Sequence[str]) -> int:
    return sum(path.is_file() for name in classes for path in (folder / name).rglob("*"))


def _stored_side(paths: Sequence[Path], image_size: int) -> int:
    """The side at which images are stored, in pixels.

    Their own where all are alike, square and small; else 8/7 of what the network
    sees (256 for 224), which leaves room for crops.
    """
    sizes = {image_size_of(path) for path in paths}
    width, height = next(iter(sizes))
    if len(sizes) == 1 and width == height <= image_size:
        return width
    return stored_side(image_size)


def _decode(
    paths: Sequence[Path], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], Looks]:
    """Decode files: short side resized, centre cropped.

    Returns:
        uint8 of shape (N, side, side, 3), the hashes of the files, uint64 of shape (N,), and how
        the images look.
    """
    out, hashes = np.empty((len(paths), side, side, 3), np.uint8), np.empty(len(paths), np.uint64)
    looks = Looks.empty(len(paths))

    def decode(index: int) -> None:
        out[index], small = read_both(paths[index], side)
        hashes[index] = hash_file(paths[index])
        if small is not None:
            looks.put(index, small[None])

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(decode, range(len(paths))):
            pass
    return out, hashes, looks
