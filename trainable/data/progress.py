"""How far the images are, on a terminal, while somebody waits for them."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LEAST: Final = 200
"""Images that are worth a bar."""


class Bar(Progress):
    """A bar for as long as it is open; none where the errors go to no terminal, or for few images.

    Args:
        what: What is done.
        count: How many images there are.
    """

    def __init__(self, what: str, count: int) -> None:
        console = Console(stderr=True)
        super().__init__(
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal or count < _LEAST,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self.add_task(what, total=count)

    def more(self, count: int) -> None:
        """So many images more are done."""
        self.advance(self._task, count)
