"""`python -m tune.cache`: what this machine keeps of frozen layers' outputs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    root: Annotated[
        Path | None, typer.Option(help="Its folder; by default TUNE_CACHE or the user's cache.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete all that no process has open.")
    ] = False,
) -> None:
    """List what the cache holds, or clear it.

    The cache holds what frozen layers made of a data set's images. It can be deleted at any
    time: what is needed is computed again, to the same bytes.

    Examples:
    `python -m tune.cache`

    `python -m tune.cache --clear`
    """
    from trainable.features.store import ArrayStore, default_root

    store = ArrayStore(root or default_root())
    if root is not None and not root.is_dir():
        print(f"tune.cache: --root {root}: no such folder", file=sys.stderr)
        sys.exit(2)
    if clear:
        print(f"{store.root}: {store.clear()} entries deleted")
        return
    entries = store.entries()
    table = Table("used", "size", "data", "split", "policy", "px", "type", box=None)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        columns = ("data", "split", "policy", "image_size", "dtype")
        told = [str(entry.key.get(column, ""))[:14] for column in columns]
        table.add_row(used, megabytes(entry.size), *told)
    if entries:
        Console(highlight=False).print(table)
    total = megabytes(sum(entry.size for entry in entries))
    print(f"{store.root}: {len(entries)} entries, {total}")


def megabytes(size: int) -> str:
    """Bytes as megabytes."""
    return f"{size / 10**6:,.1f} MB"


if __name__ == "__main__":
    app()
