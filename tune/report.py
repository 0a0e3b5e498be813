"""`python -m tune.report`: a search as one page, made again from its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.cli import DONE, Door
from tune.study.folder import SearchHome, checked_name, latest_search
from tune.study.search import HOME

if TYPE_CHECKING:
    from tune.reporting.results import SearchResults

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
    home = SearchHome(checked_name(name, "search") if name else latest_search(HOME))
    results = _results(home)
    from tune.reporting.publishing import write_report

    print(write_report(results, out or home.folder)[0])
    return DONE


def _results(home: SearchHome) -> SearchResults:
    from tune.reporting.publishing import read_results

    return read_results(home.load())


if __name__ == "__main__":
    app()
