"""A classifier on labelled image files: a folder with a folder a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.base.text import listed
from trainable.data.decoding.image_file import ImageError
from trainable.data.forms.image_folder import image_files, no_image_in
from trainable.data.forms.walking import LeftOut, folders_in
from trainable.data.parts import SPLITS
from trainable.files.places import is_folder
from trainable.inference.classifier import Classifier
from trainable.inference.labelling import Answer
from trainable.judging.predictions import Predictions

_MOST_NAMES: Final = 8
"""Classes that a message lists."""


@dataclass(frozen=True)
class LabelledFile:
    """An image file whose class is known.

    Attributes:
        path: The file.
        label: The index of its class.
    """

    path: Path
    label: int


@dataclass(frozen=True, eq=False)
class Judged:
    """What a classifier says of labelled files.

    Attributes:
        files: Those that could be read.
        predictions: On them, in their order.
        problems: A line for each file that could not be read.
    """

    files: tuple[LabelledFile, ...]
    predictions: Predictions
    problems: tuple[str, ...]


def labelled_files(folder: Path, classes: Sequence[str]) -> list[LabelledFile]:
    """The image files in the class folders of a folder, class by class.

    Args:
        folder: With a folder a class. A class may be missing; what lies beside the class folders,
            and hidden folders, are left out.
        classes: The names that a folder may have.

    Raises:
        ValueError: There is no such folder, no class folder or no image in it, or a folder is
            called as no class is: its images would have no right answer.
    """
    if not is_folder(folder):
        raise ValueError(f"{folder}: no such folder; give one with a folder a class")
    found = [each.name for each in folders_in(folder, LeftOut(folder))]
    if not found:
        raise ValueError(f"{folder} has no class folder: give one with a folder a class")
    unknown = [name for name in found if name not in classes]
    if unknown:
        raise ValueError(f"{folder}: {_unknown(folder, unknown, classes)}")
    files = [
        LabelledFile(path, label)
        for label, name in enumerate(classes)
        if name in found
        for path in image_files(folder / name)
    ]
    if not files:
        raise ValueError(no_image_in(folder))
    return files


def unseen_files(
    classifier: Classifier, files: Sequence[LabelledFile]
) -> tuple[list[LabelledFile], int | None]:
    """The files that a classifier, or its search, was not trained or validated on.

    Returns:
        Those of which neither they nor a copy was seen, and how many others there are; of a
        classifier that does not say what it has seen all files, and None.
    """
    seen, side = classifier.seen, classifier.spec.stored_side
    if seen is None:
        return list(files), None

    def is_seen(file: LabelledFile) -> bool:
        try:
            return seen.has_seen(file.path, side)
        except (ImageError, OSError):  # which is reported where its label is asked for
            return False

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        known = list(pool.map(is_seen, (file for file in files)))
    fresh = [file for file, is_known in zip(files, known, strict=True) if not is_known]
    return fresh, len(files) - len(fresh)


def judge(files: Sequence[LabelledFile], answers: Iterable[Answer], classes: int) -> Judged:
    """Compare a classifier's answers to files with their classes.

    Args:
        files: The files.
        answers: To each of them, in their order.
        classes: How many classes there are.
    """
    kept: list[LabelledFile] = []
    rows: list[NDArray[np.float64]] = []
    problems: list[str] = []
    for file, answer in zip(files, answers, strict=True):
        if isinstance(answer.probabilities, ImageError):
            problems.append(str(answer.probabilities))
        else:
            kept.append(file)
            rows.append(answer.probabilities.astype(np.float64))
    probabilities = np.array(rows).reshape(len(rows), classes)
    # In double precision no two probabilities have the same logarithm.
    logits = np.log(probabilities.clip(np.finfo(np.float32).tiny))
    labels = torch.tensor([file.label for file in kept], dtype=torch.int64)
    return Judged(tuple(kept), Predictions(torch.from_numpy(logits), labels), tuple(problems))


def _unknown(folder: Path, unknown: Sequence[str], classes: Sequence[str]) -> str:
    if set(unknown) <= set(SPLITS):
        held_out = next(name for name in reversed(SPLITS) if name in unknown)
        return f"it holds splits, not classes: give one of them, such as {folder / held_out}"
    verb = "is no class" if len(unknown) == 1 else "are no classes"
    wrong, known = listed(unknown, _MOST_NAMES), listed(classes, _MOST_NAMES)
    return f"{wrong} {verb} of the model, which knows {known}: rename or remove"
