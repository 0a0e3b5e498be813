"""A folder of class folders: which files it has, and their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainable.base.text import printable
from trainable.data.decoding.kinds import NAMES, why_no_image
from trainable.data.forms.layout import Layout
from trainable.data.forms.walking import (
    BESIDE,
    HIDDEN,
    NO_IMAGE,
    LeftOut,
    OnError,
    fail,
    is_hidden,
    walk,
)
from trainable.data.listing import Listing
from trainable.data.parts import SplitName
from trainable.data.splitting.grouping import names_by_pattern


def list_image_folder(root: Path, group: str | None = None) -> Listing:
    """The images under `root`, by split and class.

    Args:
        root: With a folder per class, or with `train`, `val`, `test` folders of those.
        group: A regular expression on the path below `root`, whose first group is the name of
            what an image is one of several of.

    Raises:
        ValueError: There are no classes, they differ between splits, or one is empty; or the
            expression says nothing about a file.
    """
    left_out = LeftOut(root)
    layout = Layout.of(root, left_out)
    found = {
        name: _Found.under(folder, layout.classes, left_out)
        for name, folder in layout.splits.items()
    }
    files = {name: each.files for name, each in found.items()}
    groups, notes = names_by_pattern(group, root, files)
    return Listing(
        files=files,
        labels={name: np.array(each.labels) for name, each in found.items()},
        classes=layout.classes,
        skipped=left_out.count,
        notes=(*layout.notes, *_nested(root, found), *left_out.notes, *notes),
        groups=groups,
    )


def image_files(
    folder: Path, left_out: LeftOut | None = None, on_error: OnError = fail
) -> list[Path]:
    """The image files in a folder and in those inside it, sorted.

    Args:
        folder: The folder.
        left_out: Gets all else that is there.
        on_error: Is told of each folder that cannot be read; by default it raises the error.

    Raises:
        ValueError: A folder cannot be read.
    """
    left_out = left_out or LeftOut(folder)
    return list(_images(walk(folder, left_out, on_error), left_out))


def no_image_in(folder: Path) -> str:
    """A message that a folder has none of :func:`image_files`."""
    left_out = LeftOut(folder)
    image_files(folder, left_out)
    why = "; ".join(left_out.notes) or "it is empty"
    return f"{folder} holds no image ({NAMES}): {why}"


@dataclass
class _Found:
    """The images of a split, class by class."""

    files: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    nested: list[Path] = field(default_factory=list)

    @classmethod
    def under(cls, folder: Path, classes: Sequence[str], left_out: LeftOut) -> _Found:
        """Those in class folders, in sorted order, so that it is the same everywhere.

        Raises:
            ValueError: A class has none.
        """
        found = cls()
        for label, name in enumerate(classes):
            files = image_files(folder / name, left_out)
            if not files:
                raise ValueError(no_image_in(folder / name))
            found.files += files
            found.labels += [label] * len(files)
            found.nested += [path for path in files if path.parent != folder / name]
        for path in sorted(folder.iterdir()):
            if path.is_file() and why_no_image(path) is None:
                left_out.add(HIDDEN if is_hidden(path.name) else BESIDE, path)
        return found


def _images(files: Iterator[Path], left_out: LeftOut) -> Iterator[Path]:
    for path in files:
        if (why := why_no_image(path)) is None:
            yield path
        else:
            left_out.add(NO_IMAGE, path, why)


def _nested(root: Path, found: dict[SplitName, _Found]) -> tuple[str, ...]:
    """What is to be said of images in folders below class folders."""
    paths = [path for each in found.values() for path in each.nested]
    if not paths:
        return ()
    below = printable(str(paths[0].parent.relative_to(root)))
    return (f"images in folders below a class folder are of its class: {len(paths)}, as {below}",)
