"""A folder of class folders: which files it has, and their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from trainable.data.kinds import NAMES, why_no_image
from trainable.data.listing import Listing
from trainable.data.parts import SPLITS
from trainable.text import listed, printable

_NAMED: Final = 5
"""Files that are left out and named; of others it is said how many they are."""


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
    left_out: dict[Path, str] = {}
    pairs = {name: _labelled_files(folder, classes, left_out) for name, folder in folders.items()}
    return Listing(
        files={name: [path for path, _ in each] for name, each in pairs.items()},
        labels={name: np.array([label for _, label in each]) for name, each in pairs.items()},
        classes=classes,
        skipped=len(left_out),
        notes=tuple(_describe(left_out, root)),
    )


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and in those inside it, sorted, whatever their suffix."""
    return sort_files(folder)[0]


def sort_files(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The images in a folder and in those inside it, sorted, and why each other file is none."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    left_out = {path: why for path in files if (why := why_no_image(path)) is not None}
    return [path for path in files if path not in left_out], left_out


def no_image_in(folder: Path) -> str:
    """A message that a folder has none of :func:`image_files`."""
    _, left_out = sort_files(folder) if folder.is_dir() else ([], {})
    beside = f", but {_named(left_out, folder)}" if left_out else ""
    return f"{folder} holds no image ({NAMES}){beside}"


def _describe(left_out: Mapping[Path, str], root: Path) -> Iterator[str]:
    if left_out:
        verb = "file is no image and was" if len(left_out) == 1 else "files are no images and were"
        yield f"{len(left_out):,} {verb} left out: {_named(left_out, root)}"


def _named(left_out: Mapping[Path, str], root: Path) -> str:
    names = (f"{printable(str(path.relative_to(root)))} ({why})" for path, why in left_out.items())
    return listed(names, _NAMED)


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


def _labelled_files(
    folder: Path, classes: Sequence[str], left_out: dict[Path, str]
) -> list[tuple[Path, int]]:
    """The images in sorted order, so that storage order is the same everywhere.

    Args:
        folder: With a folder per class.
        classes: Their names.
        left_out: Takes each other file, and why it is no image.
    """
    found = []
    for label, name in enumerate(classes):
        images, others = sort_files(folder / name)
        if not images:
            raise ValueError(no_image_in(folder / name))
        found += [(path, label) for path in images]
        left_out |= others
    return found
