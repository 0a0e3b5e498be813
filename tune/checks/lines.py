"""What the doctor finds, in the terminal and as JSON, without any password.

Nothing that may be missing here, such as PyTorch, is imported: that is a finding too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tune.base.finding import Finding
from tune.base.passwords import masked

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


def print_finding(finding: Finding, console: Console) -> None:
    """Print a finding in a line, and what to do about it in another."""
    console.print(f"{finding.state:5s}", style=_COLOURS[finding.state], end=" ")
    console.print(f"{finding.name:14s} {masked(finding.message)}")
    if finding.fix is not None:
        console.print(f"{'':20s} -> {masked(finding.fix)}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print a table with a line a row, where the console is wide enough."""
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def json_text(found: Any) -> str:
    """What was found as a JSON document, with `***` for each password.

    What a library says of an error has whole addresses.
    """
    return json.dumps(_without_secrets(found), indent=2)


def _without_secrets(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _without_secrets(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_without_secrets(value) for value in found]
    return masked(found) if isinstance(found, str) else found
