"""A folder of class folders: which files it has, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torchvision.datasets.folder import IMG_EXTENSIONS

from trainable.data.listing import Listing
from trainable.data.parts import SPLITS


def list_image_folder(root: Path) -> Listing:
    """The images under `root`, by split and class.

    Args:
        root: With a folder per class, or with `train`, `val`, `test` folders of those.

    Raises:
        ValueError: There are no classes, they differ between splits, or one is empty.
    """
    folders = {name: root / name for name in SPLITS if (root / name).is_dir()}
    if "train" not in folders:
        folders = {"train": root}
    classes = _class_names(folders["train"])
    for folder in folders.values():
        if _class_names(folder) != classes:
            raise ValueError(f"{folder} has other class folders than {folders['train']}")
    pairs = {name: _labelled_files(folder, classes) for name, folder in folders.items()}
    count = sum(map(len, pairs.values()))
    return Listing(
        files={name: [path for path, _ in each] for name, each in pairs.items()},
        labels={name: np.array([label for _, label in each]) for name, each in pairs.items()},
        classes=classes,
        skipped=sum(_count_files(folder, classes) for folder in folders.values()) - count,
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
