"""`resnet-tune`, or `python -m tune`: all commands, each of which is `python -m tune.NAME` too."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tune.base.commands import COMMANDS, PROGRAM, module_of
from tune.base.errors import DONE, ConfigError, squeeze
from tune.cli import OneLineGroup, nearest_of


class _Commands(OneLineGroup):
    """The commands: listed by their summaries, and loaded only to complete their words."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What a list shows of a command."""
        summary = COMMANDS.get(cmd_name)
        return None if summary is None else TyperCommand(cmd_name, help=summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A command with its options, which the shell's completion asks for."""
        name, *rest = args
        if name in COMMANDS:
            return name, typer.main.get_command(import_module(module_of(name)).app), rest
        if ctx.resilient_parsing:
            return None, None, rest
        raise ConfigError(f"{squeeze(name)}: no such command{nearest_of(name, COMMANDS)}")


app = typer.Typer(
    name=PROGRAM, cls=_Commands, rich_markup_mode="markdown", pretty_exceptions_enable=False
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        print(f"{PROGRAM} {version(PROGRAM)}")
    except PackageNotFoundError:
        print(f"{PROGRAM}, from a folder: it is not installed")
    raise typer.Exit


@app.callback(invoke_without_command=True)
def _all(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> int:
    """Find the best ResNet classifier for your images.

    `resnet-tune COMMAND --help` explains a command. `resnet-tune search` and
    `python -m tune.search` are the same, and so for each. (`tune` alone is a script of Ray's.)
    """
    if context.invoked_subcommand is None:
        print(context.get_help())
    return DONE


def main(given: Sequence[str] | None = None) -> None:
    """Run the command that is named first, or list all; end the process with its exit code.

    Args:
        given: The words after the program's name; by default those of this process.
    """
    words = list(sys.argv[1:] if given is None else given)
    if words and words[0] in COMMANDS:
        name, *rest = words
        import_module(module_of(name)).app(rest, prog_name=f"{PROGRAM} {name}")
    app(words, prog_name=PROGRAM)


if __name__ == "__main__":
    main()
