"""Images with any number of labels: which of them stands for an image where it must have one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainable.base.text import printable
from trainable.data.forms.rows import Mistakes, Row
from trainable.data.parts import SplitName

_HAS: Final = {"1", "1.0", "true", "yes"}
_LACKS: Final = {"0", "0.0", "false", "no", ""}


def rarest(targets: Mapping[SplitName, NDArray[np.uint8]]) -> dict[SplitName, NDArray[np.int64]]:
    """The rarest label of each image, by which images are split, counted and looked through.

    So a rare label is in every split, as a rare class is: the first step of iterative
    stratification (Sechidis et al. 2011). An image without labels counts with the commonest one.

    Args:
        targets: Which labels each image has, of shape (N, classes), for each split.
    """
    often = np.sum([rows.sum(0, dtype=np.int64) for rows in targets.values()], axis=0)
    by_rarity = np.argsort(often, kind="stable")
    return {
        name: np.where(rows.any(1), by_rarity[rows[:, by_rarity].argmax(1)], by_rarity[-1])
        for name, rows in targets.items()
    }


def labels_by_column(row: Row, columns: Mapping[str, str], mistakes: Mistakes) -> tuple[str, ...]:
    """The labels of a row in which each has a column of its own, with 1 where the image has it.

    Args:
        row: The row.
        columns: The label of each column, whose name is in lower case.
        mistakes: Gets what is neither 1 nor 0.
    """
    labels = []
    for column, label in columns.items():
        said = row.text(column).lower()
        if said in _HAS:
            labels.append(label)
        elif said not in _LACKS:
            mistakes.add(
                row,
                f"{printable(column)} is {printable(said)}, and must be 1 or 0, as there is no "
                f"column label: remove the column {printable(column)}, or give one called label",
            )
    return tuple(labels)
