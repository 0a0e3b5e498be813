"""`python -m tune.cache`: what is cached of frozen layers, and what searches occupy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tune.base.errors import DONE, ConfigError
from tune.cli import Door, open_console
from tune.reporting.occupied import megabytes, names_of_data, print_entries, print_searches
from tune.study.folder import SearchFolder
from tune.study.lookup import find_folder
from tune.study.searches import checked_name, searches_in

app = Door("tune.cache")


@app.command()
def main(
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The cache's folder, if a config has a cache.root; by default TUNE_CACHE, else "
            "one in the user's cache.",
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete every entry that no process has open.")
    ] = False,
    clear_finished: Annotated[
        bool,
        typer.Option("--clear-finished", help="Delete the checkpoints of all finished searches."),
    ] = False,
    clear_search: Annotated[
        list[str] | None,
        typer.Option(
            "--clear-search",
            metavar="NAME",
            help="Delete the checkpoints of this search, even if it is not finished.",
        ),
    ] = None,
) -> int:
    """List or clear what can be computed again: cached outputs, and checkpoints of searches.

    The cache holds the outputs of frozen layers on a data set's images; data that a search of this
    folder used has its name in the table. It can be deleted at any time: what is needed is computed
    again, to the same bytes.

    The searches that were started in this folder keep the checkpoints of their finalists. Where
    those are deleted, registered models and reports stay, and a search that is extended or resumed
    trains again what it needs.

    Examples:
    `python -m tune.cache`

    `python -m tune.cache --clear`

    `python -m tune.cache --clear-finished`

    Exit code: 0 done, 2 a mistake in the command.
    """
    from trainable.store.arrays import ArrayStore, default_root

    if root is not None and not root.is_dir():
        raise ConfigError(f"--root {root}: no such folder")
    store = ArrayStore(root or default_root())
    if clear:
        print(f"{store.root}: {store.clear()} entries deleted")
    if clear_finished or clear_search:
        named = [checked_name(name, "--clear-search") for name in clear_search or ()]
        finished = _finished() if clear_finished else []
        _clear_searches([find_folder(name) for name in dict.fromkeys([*named, *finished])])
    if not (clear or clear_finished or clear_search):
        console, homes = open_console(), [find_folder(name) for name in searches_in()]
        print_entries(store, names_of_data(homes), console)
        print_searches(homes, console)
    return DONE


def _finished() -> list[str]:
    """The searches that have nothing left to do."""
    return [name for name in searches_in() if find_folder(name).state == "finished"]


def _clear_searches(homes: Sequence[SearchFolder]) -> None:
    for home in homes:
        home.load()  # an unknown name is a mistake, and leaves no folder
        print(f"{home.where}: {megabytes(home.clear_checkpoints())} deleted")


if __name__ == "__main__":
    app()
