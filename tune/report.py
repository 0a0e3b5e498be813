"""`python -m tune.report`: a search as one page, made again from its record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.environment import prepare_environment
from tune.errors import ConfigError
from tune.study.folder import HOME, SearchHome, checked_name, latest_search

if TYPE_CHECKING:
    from tune.reporting.results import SearchResults

DONE, MISTAKE = 0, 2
"""Exit codes."""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[
        str | None, typer.Argument(help="The search's name; by default the latest.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; by default the search's own.")
    ] = None,
) -> None:
    """Write what a search came to as `report.html`, which needs no network, and PNG files.

    Every search does so at its end; this makes it again, also while a search is running.

    Examples:
    `python -m tune.report`

    `python -m tune.report digits-20260131-120000 --out pages`

    Exit code: 0 done, 2 a mistake in the command.
    """
    prepare_environment()
    try:
        home = SearchHome(checked_name(name, "search") if name else latest_search(HOME))
        results = _results(home)
    except ConfigError as error:
        print(f"tune.report: {error}", file=sys.stderr)
        sys.exit(MISTAKE)
    from tune.reporting.publishing import write_report

    print(write_report(results, out or home.folder)[0])


def _results(home: SearchHome) -> SearchResults:
    import optuna

    from tune.reporting.publishing import read_results

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return read_results(home.load())


if __name__ == "__main__":
    app()
