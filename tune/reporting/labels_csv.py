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


def write_labels(path: Path, survey: Survey, doubts: Sequence[Doubt]) -> None:
    """Write a table with a row an image: its file, its label, its split, and what is suggested.

    With the labels corrected it is a table to train from (`data.source=table`), whose images stay
    in their splits.

    Raises:
        OSError: It cannot be written; one that was there is as it was.
    """
    with (
        Place(path.parent).aside(path.name) as aside,
        # Names go out byte for byte as they came, also those that are no UTF-8.
        aside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(survey, doubts))


def _rows(survey: Survey, doubts: Sequence[Doubt]) -> Iterator[list[str]]:
    for doubt in doubts:
        suggested = survey.classes[doubt.suggested]
        yield [*_known(survey, doubt.index), suggested, f"{doubt.probability:.4f}"]
    doubted = np.zeros(len(survey), bool)
    doubted[[doubt.index for doubt in doubts]] = True
    for index in np.flatnonzero(~doubted):
        yield [*_known(survey, int(index)), "", ""]


def _known(survey: Survey, index: int) -> list[str]:
    name = str(survey.files[index].resolve()) if survey.files else survey.names[index]
    return [name, survey.classes[int(survey.labels[index])], SPLITS[int(survey.splits[index])]]
