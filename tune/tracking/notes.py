"""Descriptions in MLflow, which shows them as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

SIGNATURE: Final = "*Written by tune.search, which replaces it as long as this line is in it.*"
LONGEST: Final = 4900
"""Characters: some stores take no more than 5,000 of a version."""

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()#+.!~|:=>-])")


def may_replace(description: str | None) -> bool:
    """Whether a description may be replaced: there is none, or a search has written it."""
    return not description or SIGNATURE in description


def plain(text: object, most: int = 200) -> str:
    """A text that Markdown shows as it is, on one line; a long one is cut."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    cut = line if len(line) <= most else f"{line[: most - 1]}…"
    escaped = _SPECIAL.sub(r"\\\1", html.escape(cut, quote=False).replace("&gt;", ">"))
    return escaped.replace("@", "&#64;")  # a renderer as GitHub's makes links of these


@dataclass(frozen=True)
class Links:
    """Where things are in MLflow's own pages, whatever server shows them.

    Attributes:
        experiment: The experiment's id.
        run: The search's run's id.
        runs: The ids of the runs whose weights are in the model, by their names.
    """

    experiment: str
    run: str
    runs: Mapping[str, str]

    def to_run(self, text: str, run_id: str | None = None) -> str:
        """A link to a run; by default the search's."""
        return f"[{plain(text)}]({self._page(run_id or self.run)})"

    def to_file(self, text: str, name: str) -> str:
        """A link to a file of the search's run."""
        return f"[{plain(text)}]({self._page(self.run)}/artifacts/{quote(name)})"

    def _page(self, run_id: str) -> str:
        return f"#/experiments/{quote(self.experiment)}/runs/{quote(run_id)}"
