"""The labels of all images as a table, the most doubtful first, to be corrected by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Final

from trainable.data.parts import SPLITS
from trainable.files.places import Place
from tune.soundness.labels import Doubt
from tune.soundness.survey import Survey

LABELS: Final = "labels.csv"
COLUMNS: Final = ("path", "label", "split", "suggested", "probability")
"""Where there are any, also `doubted`, `group` and `weight`."""


def write_labels(path: Path, survey: Survey, doubts: Sequence[Doubt]) -> Path:
    """Write a table with a row an image: its file, its label, its split, and what is suggested.

    With the labels corrected it is a table to train from (`data.source=table`), whose images stay
    in their splits, together with those of their group, and count as they did. Any number of
    labels are written `cat|dog`, with the ones that are doubted in a column more.

    Returns:
        Where it is: `labels-2.csv` and so on where there is a `labels.csv` that says otherwise,
        which somebody may have corrected by hand.

    Raises:
        OSError: It cannot be written.
    """
    # Names go out byte for byte as they came, also those that are no UTF-8.
    content = _table(survey, doubts).encode(errors="surrogateescape")
    place, others = Place(path.parent), (f"{path.stem}-{n}{path.suffix}" for n in count(2))
    written = next(name for name in chain([path.name], others) if place.create(name, content))
    return path.with_name(written)


def why_no_table(survey: Survey) -> str:
    """Why a table would not say of what classes the images are; empty text if it would."""
    wrong = [] if survey.has_several else survey.classes
    for name in wrong:
        if "|" in name or name != name.strip():
            return (
                f"a table cannot name class {name!a}, since it has bars between several labels and "
                f"means nothing by blanks around them: no {LABELS} is written; rename the class"
            )
    return ""


def _table(survey: Survey, doubts: Sequence[Doubt]) -> str:
    order: dict[int, Doubt | None] = {doubt.index: doubt for doubt in doubts}
    order |= dict.fromkeys(index for index in range(len(survey)) if index not in order)
    text = io.StringIO(newline="")
    columns = [*COLUMNS, *_more(survey)]
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    for index, doubt in order.items():
        writer.writerow(_known(survey, index) | (_suggested(survey, doubt) if doubt else {}))
    return text.getvalue()


def _more(survey: Survey) -> list[str]:
    """The columns that not every table has."""
    there = {
        "doubted": survey.has_several,
        "group": bool((survey.together != survey.groups).any()),
        "weight": len(survey.weights) > 0,
    }
    return [name for name, is_there in there.items() if is_there]


def _known(survey: Survey, index: int) -> dict[str, str]:
    split = SPLITS[int(survey.splits[index])]
    found = {
        # A link as itself: two to one file are two images.
        "path": str(survey.files[index].absolute()) if survey.files else survey.names[index],
        "label": survey.label_of(index),
        "split": split,
    }
    if len(survey.together) and survey.together[index] != survey.groups[index]:
        # Of a split: a group is refused in two, in which copies of its images may lie.
        found["group"] = f"{split}-{int(survey.together[index]):x}"
    if len(survey.weights):
        found["weight"] = repr(float(survey.weights[index]))
    return found


def _suggested(survey: Survey, doubt: Doubt) -> dict[str, str]:
    return {
        "suggested": survey.joined(doubt.suggested),
        "probability": f"{doubt.probability:.4f}",
        "doubted": survey.joined(label for label, _ in doubt.doubted),
    }
