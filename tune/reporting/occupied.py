"""What occupies the disk, in the terminal: the cache's entries, and searches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tune.study.folder import SearchFolder

if TYPE_CHECKING:
    from trainable.features.store import ArrayStore


def print_entries(store: ArrayStore, console: Console) -> None:
    """Print a table of the cache's entries, and their number and size."""
    entries = store.entries()
    table = Table("used", "size", "data", "split", "policy", "px", "type", box=None)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        columns = ("data", "split", "policy", "image_size", "dtype")
        cells = [str(entry.key.get(column, ""))[:14] for column in columns]
        table.add_row(used, megabytes(entry.size), *cells)
    if entries:
        console.print(table)
    total = megabytes(sum(entry.size for entry in entries))
    console.print(f"{store.root}: {len(entries)} entries, {total}", soft_wrap=True)


def print_searches(homes: Sequence[SearchFolder], console: Console) -> None:
    """Print a table of searches with their states, and their number and size."""
    if not homes:
        return
    table, total = Table("search", "size", "state", box=None), 0
    for home in homes:
        total += (size := home.size)
        table.add_row(Text(home.name), megabytes(size), home.state)
    console.print("", table)
    shown = f"{homes[0].shown.parent}: {len(homes)} searches, {megabytes(total)}"
    console.print(shown, soft_wrap=True)


def megabytes(size: int) -> str:
    """A number of bytes as megabytes."""
    return f"{size / 10**6:,.1f} MB"
