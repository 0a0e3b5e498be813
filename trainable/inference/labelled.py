"""Image files whose labels are known: in a folder with a folder a class, or in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from trainable.base.text import listed, printable
from trainable.data.forms.image_folder import image_files, no_image_in
from trainable.data.forms.label_sets import rarest
from trainable.data.forms.layout import split_of, tables_in
from trainable.data.forms.rows import Mistakes
from trainable.data.forms.table import TableImage, once_each, read_images
from trainable.data.forms.walking import LeftOut, folders_in
from trainable.data.parts import SPLITS
from trainable.files.places import is_folder

_MOST_NAMES: Final = 8
"""Classes that a message lists."""


@dataclass(frozen=True)
class LabelledFile:
    """An image file whose labels are known.

    Attributes:
        path: The file.
        labels: The indices of its classes: one, or any number of them.
    """

    path: Path
    labels: tuple[int, ...]


def truth_of(
    files: Sequence[LabelledFile], classes: int, *, several: bool
) -> tuple[Tensor, Tensor | None]:
    """The label of each file, int64 of shape (N,), and which labels it has, where it may have any.

    Args:
        files: The files.
        classes: How many classes there are.
        several: Whether a file may have any number of labels: then the first is its rarest.
    """
    if not several:
        return torch.tensor([file.labels[0] for file in files], dtype=torch.int64), None
    rows = np.zeros((len(files), classes), np.uint8)
    for row, file in enumerate(files):
        rows[row, list(file.labels)] = 1
    return torch.from_numpy(rarest({"test": rows})["test"]), torch.from_numpy(rows).bool()


def labelled_files(path: Path, classes: Sequence[str], *, several: bool) -> list[LabelledFile]:
    """The image files of a folder with a folder a class, or of a table.

    Args:
        path: The folder, or the table's file.
        classes: The names of classes that there may be; some may be missing.
        several: Whether an image may have any number of labels, as a table alone says it.

    Raises:
        ValueError: There is no such folder or table, no image in it, or something is called as no
            class is: it would have no right answer.
    """
    if not is_folder(path) and path.is_file():
        return _of_table(path, classes, several=several)
    if not several:
        return _of_folder(path, classes)
    tables = tables_in(path) if is_folder(path) else []
    instead = f", such as {tables[0]}" if tables else " (CSV, TSV, Parquet or JSON lines)"
    raise ValueError(
        f"{path} is no table, and the model gives an image any number of labels, which a folder a "
        f"class cannot say: give a table{instead}"
    )


def _of_folder(folder: Path, classes: Sequence[str]) -> list[LabelledFile]:
    """Those in the class folders of a folder, class by class.

    What lies beside the class folders, and hidden folders, are left out.
    """
    if not is_folder(folder):
        raise ValueError(f"{folder}: no such folder; give one with a folder a class, or a table")
    found = [each.name for each in folders_in(folder, LeftOut(folder))]
    if not found:
        raise ValueError(f"{folder} has no class folder: give one with a folder a class")
    unknown = [name for name in found if name not in classes]
    splits = {split_of(name): name for name in unknown}
    if unknown and None not in splits:
        held_out = next(splits[split] for split in reversed(SPLITS) if split in splits)
        raise ValueError(
            f"{folder}: it holds splits, not classes: give one of them, such as {folder / held_out}"
        )
    _check_known(folder, unknown, classes)
    files = [
        LabelledFile(path, (label,))
        for label, name in enumerate(classes)
        if name in found
        for path in image_files(folder / name)
    ]
    if not files:
        raise ValueError(no_image_in(folder))
    return files


def _of_table(path: Path, classes: Sequence[str], *, several: bool) -> list[LabelledFile]:
    """Those of a table's rows, of all its splits."""
    mistakes = Mistakes(path)
    try:
        read = read_images(path, None, mistakes, several=several, known=classes)
        images, _ = once_each(read, mistakes)
        _check_labels(images, mistakes, several=several)
        mistakes.check()
    except ValueError as error:  # which calls a table by the key that a search has for it
        raise ValueError(str(error).replace(f"data.root={path}", str(path))) from error
    number = {name: label for label, name in enumerate(classes)}
    there = {label for image in images for label in image.labels}
    if not there:
        raise ValueError(f"{path} has no row with a label: give one whose rows have some")
    _check_known(path, sorted(there - number.keys()), classes)
    return [
        LabelledFile(image.file, tuple(number[label] for label in image.labels)) for image in images
    ]


def _check_labels(images: Sequence[TableImage], mistakes: Mistakes, *, several: bool) -> None:
    """Add the rows that do not have as many labels as the model gives an image."""
    for image in images:
        if len(image.labels) != 1 and not several:
            told = printable("|".join(image.labels)) or "empty"
            mistakes.add(image.row, f"label is {told}, and the model gives an image one label")


def _check_known(place: Path, unknown: Sequence[str], classes: Sequence[str]) -> None:
    if unknown:
        verb = "is no class" if len(unknown) == 1 else "are no classes"
        wrong, known = listed(unknown, _MOST_NAMES), listed(classes, _MOST_NAMES)
        raise ValueError(
            f"{place}: {wrong} {verb} of the model, which knows {known}: rename or remove"
        )
