"""The duplicates among a search's images, as a table."""

from __future__ import annotations

from typing import Final

from plotly.graph_objects import Figure, Table

from trainable.data.copies import CopyGroup, copy_groups, describe_copies
from tune.reporting.labels import plotly_text
from tune.reporting.results import SearchResults
from tune.soundness.survey import NO_LABEL

_SHOWN: Final = 50
"""Groups that are listed."""
_NAMES: Final = 5
"""Images of a group that are named."""
_LINE: Final = 28


def duplicates(results: SearchResults) -> Figure | None:
    """The groups of duplicates; None where there are none."""
    groups = copy_groups(results.dataset)[:_SHOWN]
    if not groups:
        return None
    rows = [
        [str(len(group.copies)), ", ".join(group.splits), _labels(group), _names(group)]
        for group in groups
    ]
    clear = "rgba(0,0,0,0)"
    style = {"align": "left", "fill": {"color": clear}, "line": {"color": "rgba(128,128,128,.4)"}}
    table = Table(
        columnwidth=[1, 2, 3, 8],
        header={"values": ["images", "split", "label", "names"], **style},
        cells={"values": list(zip(*rows, strict=True)), "height": _LINE, **style},
    )
    return Figure(table).update_layout(height=min(600, 120 + _LINE * len(rows)))


def caption(results: SearchResults) -> str:
    """What was found, in a sentence."""
    groups = copy_groups(results.dataset)
    first = f" The first {_SHOWN} groups." if len(groups) > _SHOWN else ""
    return f"Found: {describe_copies(groups)}.{first}"


def _labels(group: CopyGroup) -> str:
    return _shown([label or NO_LABEL for label in group.labels])


def _names(group: CopyGroup) -> str:
    more = len(group.copies) - _NAMES
    return _shown([copy.name for copy in group.copies[:_NAMES]]) + (
        f", +{more}" if more > 0 else ""
    )


def _shown(names: list[str]) -> str:
    return plotly_text(", ".join(names))
