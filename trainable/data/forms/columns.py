"""The columns of a table of images: what they are called, and which of them are labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from trainable.base.text import listed, printable

PATH, LABEL, SPLIT, GROUP, WEIGHT = "path", "label", "split", "group", "weight"
SHOWN: Final = 8
"""Labels that a message names."""
_ALIASES: Final = {
    PATH: ("file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img"),
    LABEL: ("class", "class_name", "category", "target", "labels", "y"),
}
"""What columns are called elsewhere."""


def has_label(columns: Collection[str]) -> bool:
    """Whether the labels are in one column, which may be called as it is elsewhere."""
    return any(name in columns for name in (LABEL, *_ALIASES[LABEL]))


def own_columns(
    path: Path, columns: set[str], group: str | None, known: Sequence[str] | None
) -> dict[str, str]:
    """The columns that are a label each, and these labels.

    Args:
        path: The table.
        columns: All that it has, in lower case.
        group: The column of the groups, instead of `group`.
        known: The labels that there may be, if that is known: then no other column is one.

    Raises:
        ValueError: Of the labels that are known some have a column, and others have none.
    """
    others = columns - {PATH, SPLIT, GROUP, WEIGHT, (group or GROUP).lower()}
    if known is None:
        return {name: name for name in sorted(others)}
    found = {name.lower(): name for name in known if name.lower() in others}
    missing = [name for name in known if name.lower() not in others]
    if found and missing:
        raise ValueError(
            f"data.root={path} has a column for {len(found)} of {len(known)} labels of the model, "
            f"and none for {listed(map(printable, missing), SHOWN)}: add one of 1 and 0 for each, "
            "or give all labels in one that is called label"
        )
    return found


def check_columns(path: Path, columns: set[str], group: str | None) -> None:
    """Check that a table has the columns without which it says nothing.

    Args:
        path: The table.
        columns: All that it has, in lower case.
        group: The column of the groups, instead of `group`.

    Raises:
        ValueError: One is missing.
    """
    there = ", ".join(map(printable, sorted(columns))) or "nothing"
    for name, aliases in _ALIASES.items():
        if name not in columns:
            alike = next((each for each in aliases if each in columns), None)
            fix = f"call {alike} so" if alike else f"its first line must name it, and has {there}"
            raise ValueError(f"data.root={path} has no column {name}: {fix}")
    if group is not None and group.lower() not in columns:
        raise ValueError(f"data.group={group}: {path} has no such column; it has {there}")
