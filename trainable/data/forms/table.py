"""A table of images: which file has which label, and perhaps which split, group and weight."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainable.base.text import listed, printable
from trainable.data.forms.columns import (
    GROUP,
    LABEL,
    PATH,
    SHOWN,
    SPLIT,
    WEIGHT,
    check_columns,
    has_label,
    own_columns,
)
from trainable.data.forms.label_sets import labels_by_column, rarest
from trainable.data.forms.layout import split_of
from trainable.data.forms.rows import Mistakes, Row, read_rows
from trainable.data.listing import Listing
from trainable.data.parts import SPLITS, SplitName
from trainable.data.splitting.grouping import describe_groups

_BARS: Final = "|"
"""Between several labels of an image."""


@dataclass(frozen=True)
class TableImage:
    """An image as a row of a table has it.

    Attributes:
        row: The row.
        file: The image's file.
        labels: Its labels; several where there are bars between, or the cell is a list.
        split: The split that it is in, where the table says so.
        group: What it is one of several images of; empty where it stands for itself.
        weight: How much it counts.
    """

    row: Row
    file: Path
    labels: tuple[str, ...]
    split: SplitName | None
    group: str
    weight: float


def list_table(path: Path, group: str | None = None, *, several: bool = False) -> Listing:
    """The images that a table names.

    Args:
        path: The table: CSV, TSV, Parquet or JSON lines, with the columns `path`, relative to the
            folder of the table, and `label`; where there are, also `split`, `group` and `weight`.
        group: The column of the groups, instead of `group`.
        several: Whether an image may have any number of labels.

    Raises:
        ValueError: Something is wrong with rows of it; names the first of them.
    """
    mistakes = Mistakes(path)
    read = read_images(path, group, mistakes, several=several)
    for image in read:
        if len(image.labels) > 1 and not several:
            told = printable(_BARS.join(image.labels))
            mistakes.add(
                image.row,
                f"{len(image.labels)} labels ({told}), and 1 is expected; for any number of them "
                "give data.labels=several",
            )
    images, notes = _without_unlabelled(read, mistakes, several=several)
    images, repeated = once_each(images, mistakes)
    mistakes.check()
    classes = tuple(sorted({label for image in images for label in image.labels}))
    if len(classes) < 2:
        raise ValueError(f"data.root={path} has {len(classes)} labels: at least 2 are needed")
    splits = _by_split(path, images)
    if several and not has_label({name for image in read for name in image.row.cells}):
        told = listed(map(printable, classes), SHOWN)
        notes = (f"no column label: each other column is a label: {told}", *notes)
    if repeated:
        notes = (*notes, f"left out: rows that say the same of a file again: {repeated}")
    return _listing(splits, classes, notes, several=several)


def read_images(
    path: Path,
    group: str | None,
    mistakes: Mistakes,
    *,
    several: bool = False,
    known: Sequence[str] | None = None,
) -> list[TableImage]:
    """The images of a table, in the order of its rows.

    Args:
        path: The table.
        group: The column of the groups, instead of `group`.
        mistakes: Gets what is wrong with rows.
        several: Whether an image may have any number of labels: then each may have a column of its
            own, where there is no `label`.
        known: The labels that there may be, if that is known: then no other column is one.

    Raises:
        ValueError: It is no table, or lacks a column.
    """
    rows = read_rows(path)
    columns = {name for row in rows for name in row.cells}
    own = own_columns(path, columns, group, known) if several and not has_label(columns) else {}
    check_columns(path, columns | ({LABEL} if own else set()), group)
    group = GROUP if group is None else group.lower()
    return [_image(path, row, SPLIT in columns, group, own, mistakes) for row in rows]


def _image(
    path: Path, row: Row, has_splits: bool, group: str, own: Mapping[str, str], mistakes: Mistakes
) -> TableImage:
    split = split_of(row.text(SPLIT))
    if has_splits and split is None:
        said = row.text(SPLIT) or "empty"
        mistakes.add(row, f"split is {printable(said)}, and must be one of {', '.join(SPLITS)}")
    return TableImage(
        row=row,
        file=_file(str(path.parent), row, mistakes),
        labels=labels_by_column(row, own, mistakes) if own else _labels(row),
        split=split,
        group=row.text(group),
        weight=_weight(row, mistakes),
    )


def _labels(row: Row) -> tuple[str, ...]:
    labels = (label.strip() for label in row.text(LABEL).split(_BARS))
    return tuple(dict.fromkeys(label for label in labels if label))


def _file(folder: str, row: Row, mistakes: Mistakes) -> Path:
    """The file of a row, whose path may be written with the separators of another system."""
    said = row.text(PATH)
    if not said:
        mistakes.add(row, "path is empty")
        return Path(folder)
    for written in (said, said.replace("\\", "/")):
        file = os.path.normpath(os.path.join(folder, written))  # noqa: PTH118, thrice as fast
        if os.path.isfile(file):  # noqa: PTH113
            return Path(file)
    mistakes.add(row, f"no such file: {printable(said)}")
    return Path(folder, said)


def _weight(row: Row, mistakes: Mistakes) -> float:
    said = row.text(WEIGHT)
    if not said:
        return 1.0
    try:
        weight = float(said)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        mistakes.add(row, f"weight is {printable(said)}, and must be a number above 0")
    return weight


def _without_unlabelled(
    images: Sequence[TableImage], mistakes: Mistakes, *, several: bool
) -> tuple[list[TableImage], tuple[str, ...]]:
    """The images with labels. A test split, none of which has any, is left out.

    Where an image may have several, it may have none too.
    """
    notes: tuple[str, ...] = ()
    tests = [image for image in images if image.split == "test"]
    if tests and not any(image.labels for image in tests):
        notes = (
            f"no row of the test split has a label: these {len(tests)} are left out, and test "
            "images are taken from the training images",
        )
        images = [image for image in images if image.split != "test"]
    for image in images:
        if not image.labels and not several:
            mistakes.add(image.row, "label is empty")
    return list(images), notes


def once_each(images: Iterable[TableImage], mistakes: Mistakes) -> tuple[list[TableImage], int]:
    """The images without those that the table names again, and how many these are."""
    first: dict[Path, TableImage] = {}
    repeated = 0
    for image in images:
        before = first.setdefault(image.file, image)
        if before is image:
            continue
        repeated += 1
        for name in ("labels", "split", "group", "weight"):
            was, now = getattr(before, name), getattr(image, name)
            if was != now and image.row.text(PATH):
                was, now = (_BARS.join(v) if isinstance(v, tuple) else v for v in (was, now))
                what = name.removesuffix("s")
                told = f"{what} {now!s}, and {was!s} in {before.row.where}"
                mistakes.add(image.row, f"{printable(image.row.text(PATH))} has {printable(told)}")
                break
    return list(first.values()), repeated


def _by_split(path: Path, images: Iterable[TableImage]) -> dict[SplitName, list[TableImage]]:
    splits: dict[SplitName, list[TableImage]] = {}
    for image in images:
        splits.setdefault(image.split or "train", []).append(image)
    if "train" not in splits:
        raise ValueError(f"data.root={path} has no row whose split is train: give some")
    return {name: splits[name] for name in SPLITS if name in splits}


def _listing(
    splits: Mapping[SplitName, list[TableImage]],
    classes: tuple[str, ...],
    notes: tuple[str, ...],
    *,
    several: bool,
) -> Listing:
    targets = {name: _targets(images, classes) for name, images in splits.items()}
    if several:
        labels = rarest(targets)
    else:
        labels = {name: rows.argmax(1) for name, rows in targets.items()}
    groups = {name: [image.group for image in images] for name, images in splits.items()}
    weights = {name: np.array([each.weight for each in images]) for name, images in splits.items()}
    return Listing(
        files={name: [image.file for image in images] for name, images in splits.items()},
        labels=labels,
        classes=classes,
        notes=(*notes, *describe_groups(groups)),
        groups=dict(groups) if any(map(any, groups.values())) else {},
        targets=targets if several else {},
        weights=weights if any((each != 1).any() for each in weights.values()) else {},
    )


def _targets(images: Sequence[TableImage], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Which labels each image has, of shape (N, classes)."""
    number = {name: label for label, name in enumerate(classes)}
    rows = np.zeros((len(images), len(classes)), np.uint8)
    for row, image in enumerate(images):
        rows[row, [number[label] for label in image.labels]] = 1
    return rows
