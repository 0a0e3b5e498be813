"""Names in figures: as data, on one line, and no longer than a figure has room for."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from typing import Final

from trainable.base.text import printable, shortened

WIDTH: Final = 32
"""Characters of a name in a figure."""


def labels_of(names: Sequence[str], width: int = WIDTH) -> list[str]:
    """The names as a figure shows them; two of them that are shortened alike get their number."""
    shown = [shortened(printable(name), width) for name in names]
    times = Counter(shown)
    return [
        label if times[label] == 1 else f"{label} #{number}" for number, label in enumerate(shown)
    ]


def plotly_text(text: object) -> str:
    """A text that Plotly shows as it is: it would read HTML in it."""
    return html.escape(printable(str(text)), quote=False)
