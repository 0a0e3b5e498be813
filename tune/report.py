"""`python -m tune.report`: a search as one page, made again from its record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainable.files.places import why_not_writable
from tune.base.errors import DONE, ConfigError
from tune.cli import Door
from tune.study.lookup import find_folder
from tune.study.search import HOME
from tune.study.searches import checked_name, latest_search
from tune.tracking.schema import Artifact

app = Door("tune.report")


@app.command()
def main(
    name: Annotated[
        str | None, typer.Argument(help="The search's name; by default that of the latest search.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The folder to write to; by default the search's own."),
    ] = None,
) -> int:
    """Write the results of a search as `report.html`, which needs no network, and as PNG files.

    Every search does so at its end; this command does it again, also while a search is running.

    Examples:
    `python -m tune.report`

    `python -m tune.report digits-20260131-120000 --out pages`

    Exit code: 0 done, 2 a mistake in the command.
    """
    home = find_folder(checked_name(name, "search") if name else latest_search(HOME))
    search = home.load()
    folder = out or home.folder
    if reason := why_not_writable(folder / Artifact.REPORT):
        raise ConfigError(f"--out {folder} cannot be written: {reason}")
    from tune.reporting.files import read_results, write_report

    print(write_report(read_results(search), folder)[0])
    return DONE


if __name__ == "__main__":
    app()
