"""The labels of all images as a table, the most doubtful first, to be corrected by hand."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from trainable.data.parts import SPLITS
from trainable.files.places import Place
from tune.soundness.labels import Doubt
from tune.soundness.survey import Survey

COLUMNS: Final = ("path", "label", "split", "suggested", "probability")
OF_SEVERAL: Final = "doubted"
"""A column more where images have any number of labels: those that are doubted."""


def write_labels(path: Path, survey: Survey, doubts: Sequence[Doubt]) -> None:
    """Write a table with a row an image: its file, its label, its split, and what is suggested.

    With the labels corrected it is a table to train from (`data.source=table`), whose images stay
    in their splits. Any number of labels are written `cat|dog`.

    Raises:
        OSError: It cannot be written; one that was there is as it was.
    """
    with (
        Place(path.parent).aside(path.name) as aside,
        # Names go out byte for byte as they came, also those that are no UTF-8.
        aside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, OF_SEVERAL) if survey.has_several else COLUMNS)
        writer.writerows(_rows(survey, doubts))


def _rows(survey: Survey, doubts: Sequence[Doubt]) -> Iterator[list[str]]:
    for doubt in doubts:
        suggested = survey.joined(doubt.suggested)
        doubted = [survey.joined(label for label, _ in doubt.doubted)] if doubt.doubted else []
        yield [*_known(survey, doubt.index), suggested, f"{doubt.probability:.4f}", *doubted]
    others = np.ones(len(survey), bool)
    others[[doubt.index for doubt in doubts]] = False
    nothing = [""] * (3 if survey.has_several else 2)
    for index in np.flatnonzero(others):
        yield [*_known(survey, int(index)), *nothing]


def _known(survey: Survey, index: int) -> list[str]:
    name = str(survey.files[index].resolve()) if survey.files else survey.names[index]
    return [name, survey.label_of(index), SPLITS[int(survey.splits[index])]]
