"""What every command is: a door that returns its exit code, and reports a mistake in one line."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from trainable.base.text import printable
from tune.base.environment import prepare_environment
from tune.base.errors import FAILED, MISTAKE, ConfigError, is_full, squeeze, without_space
from tune.base.passwords import masked

_Main = TypeVar("_Main", bound=Callable[..., Any])


def open_console(**settings: Any) -> Console:
    """The terminal, on which brackets are no markup and colons no emoji: a name may have both."""
    return Console(highlight=False, markup=False, emoji=False, **settings)


class Door(typer.Typer):
    """One command, `python -m NAME`, which returns its exit code.

    A mistake ends it with exit code 2 and one line on standard error, a full disk with 1 and one.

    Args:
        name: The name of its module, such as `tune.search`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
        )
        self.name = name

    def command(self, name: str | None = None, **settings: Any) -> Callable[[_Main], _Main]:
        """A decorator that makes a function the command; the function returns its exit code."""
        return super().command(name or self.name, cls=OneLineCommand, **settings)

    def complain(self, problem: object) -> None:
        """Print a problem on standard error, after the command's name."""
        complain(self.name, problem)


class _OneLine:
    """What reports its mistakes in one line, without a box."""

    name: str | None
    params: list[Any]

    def main(self, *args: Any, standalone_mode: bool = True, **settings: Any) -> Any:
        """Run the command; return its exit code, or end the process with it."""
        prepare_environment()
        try:
            code = super().main(*args, **settings, standalone_mode=False)  # type: ignore[misc]
        except ConfigError as error:
            code = self._mistake(str(error))
        except typer.TyperException as error:
            code = self._mistake(self._one_line(error))
        except OSError as error:
            if not is_full(error):
                raise
            complain(str(self.name), without_space(error))
            code = FAILED
        if standalone_mode:
            sys.exit(code)
        return code

    def _mistake(self, message: str) -> int:
        complain(str(self.name), message)
        return MISTAKE

    def _one_line(self, error: typer.TyperException) -> str:
        """What is wrong with the words of a command: option, value and rule."""
        option, param = getattr(error, "option_name", None), getattr(error, "param", None)
        if hasattr(error, "possibilities"):
            known = [*(name for each in self.params for name in each.opts), "--help"]
            return f"{option}: no such option{nearest_of(str(option), known)}"
        cause = error.__cause__
        if isinstance(cause, ValidationError) and param is not None:
            first = cause.errors(include_url=False)[0]
            option, message = f"{param.opts[0]} {first['input']}", first["msg"]
        else:
            message = error.message or error.format_message()
        message = squeeze(message).removeprefix("Value error, ").rstrip(".")
        message = f"{message[:1].lower()}{message[1:]}"
        return message if option is None else f"{option}: {message.split(f'{option!r} ')[-1]}"


class OneLineCommand(_OneLine, TyperCommand):
    """A command that reports its mistakes in one line."""


class OneLineGroup(_OneLine, TyperGroup):
    """A list of commands that reports its mistakes in one line."""


def nearest_of(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest of those that are known, if any."""
    near = difflib.get_close_matches(word, list(known), 1, cutoff=0.5)
    return f"; nearest: {near[0]}" if near else ""


def complain(command: str, problem: object) -> None:
    """Print a problem on standard error, after the command's name."""
    print(f"{command}: {printable(masked(problem))}", file=sys.stderr)
