"""`python -m tune.cache`: the frozen layers' outputs that this machine has cached."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tune.cli import DONE, Door, open_console
from tune.errors import ConfigError

app = Door("tune.cache")


@app.command()
def main(
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The cache's folder; by default TUNE_CACHE, else one in the user's cache.",
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete every entry that no process has open.")
    ] = False,
) -> int:
    """List what the cache holds, or clear it.

    The cache holds the outputs of frozen layers on a data set's images. It can be deleted at any
    time: what is needed is computed again, to the same bytes.

    Examples:
    `python -m tune.cache`

    `python -m tune.cache --clear`

    Exit code: 0 done, 2 a mistake in the command.
    """
    from trainable.features.store import ArrayStore, default_root

    if root is not None and not root.is_dir():
        raise ConfigError(f"--root {root}: no such folder")
    store = ArrayStore(root or default_root())
    if clear:
        print(f"{store.root}: {store.clear()} entries deleted")
        return DONE
    entries = store.entries()
    table = Table("used", "size", "data", "split", "policy", "px", "type", box=None)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        columns = ("data", "split", "policy", "image_size", "dtype")
        cells = [str(entry.key.get(column, ""))[:14] for column in columns]
        table.add_row(used, megabytes(entry.size), *cells)
    if entries:
        open_console().print(table)
    total = megabytes(sum(entry.size for entry in entries))
    print(f"{store.root}: {len(entries)} entries, {total}")
    return DONE


def megabytes(size: int) -> str:
    """A number of bytes as megabytes."""
    return f"{size / 10**6:,.1f} MB"


if __name__ == "__main__":
    app()
