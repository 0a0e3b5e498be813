"""What occupies the disk, in the terminal: the cache's entries, and searches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainable.base.text import printable, shortened
from tune.base.errors import ConfigError
from tune.study.folder import SearchFolder

if TYPE_CHECKING:
    from trainable.store.arrays import ArrayStore

_WIDTH: Final = 28
"""The greatest length of the name of data."""


def names_of_data(homes: Iterable[SearchFolder]) -> dict[str, str]:
    """What the searches in these folders call their data, by its fingerprint."""
    found = {}
    for home in homes:
        with suppress(ConfigError):
            search = home.load()
            found[search.data_fingerprint] = search.config.data.origin
    return found


def print_entries(store: ArrayStore, names: Mapping[str, str], console: Console) -> None:
    """Print a table of the cache's entries, and their number and size.

    Args:
        store: The cache.
        names: What data is called, by its fingerprint, of which the beginning is printed else.
        console: Where to print.
    """
    entries = store.entries()
    columns = ("split", "policy", "image_size", "dtype")
    table = Table("used", "size", "data", "split", "policy", "px", "type", box=None)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        of_images = {"split": entry.key.get("what", ""), **entry.key}
        cells = [str(of_images.get(column, ""))[:14] for column in columns]
        data = str(entry.key.get("data", ""))
        folder = str(entry.key.get("folder", ""))[-_WIDTH:]
        name = shortened(printable(names.get(data, folder or data[:14])), _WIDTH)
        table.add_row(used, megabytes(entry.size), Text(name), *cells)
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
