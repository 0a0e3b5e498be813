"""`python -m tune.keys`: the keys of a config, what each takes and what it means."""

from __future__ import annotations

from textwrap import fill
from typing import Annotated, Final

import typer
from rich.text import Text

from tune.base.errors import DONE, ConfigError, squeeze
from tune.cli import Door, open_console
from tune.config.catalog import Key, all_keys, fitting
from tune.config.keys import nearest

app = Door("tune.keys")

_IN: Final = "    "


@app.command()
def main(
    pattern: Annotated[
        str,
        typer.Argument(
            help="A part of a key's name, or with `*` all of it, or a word of its meaning; by "
            "default all keys are listed.",
            show_default=False,
        ),
    ] = "",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print all of them as `docs/keys.md` has them.")
    ] = False,
) -> int:
    """List the keys of a config: what each takes, its default, and what it means.

    Any of them can be set on the command line of a search (`KEY=VALUE`) or in a config's file, and
    those that can be searched in its `space` (`space.KEY=[VALUE, VALUE]`).

    Examples:
    `python -m tune.keys`

    `python -m tune.keys lr`

    `python -m tune.keys 'optim.*'`

    `python -m tune.keys "early stopping"`

    Exit code: 0 done, 2 no key fits.
    """
    if markdown:
        from tune.config.keys_page import as_markdown

        print(as_markdown(), end="")
        return DONE
    found = fitting(pattern)
    if not found:
        raise ConfigError(f"{squeeze(pattern)}: no key fits{nearest(pattern, all_keys())}")
    console = open_console()
    for key in found:
        console.print(_headline(key))
        console.print(fill(key.meaning, console.width, initial_indent=_IN, subsequent_indent=_IN))
    return DONE


def _headline(key: Key) -> Text:
    """A key's name with what it takes, on one line where that fits."""
    default = f"; default {key.default}" if key.default else ""
    searched = "; can be searched" if key.searched else ""
    takes = f"  {key.takes.replace('`', '')}{default}{searched}"
    return Text.assemble((key.name, "bold"), takes)


if __name__ == "__main__":
    app()
