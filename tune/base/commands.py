"""The commands by name: what `resnet-tune` has, without loading any of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PROGRAM: Final = "resnet-tune"
"""The script on the PATH; `tune` is Ray's own."""

COMMANDS: Final = {
    "search": "Search hyperparameters for fine-tuning an image classifier, and register the best "
    "checkpoint.",
    "data": "Check images before they are trained on: counts, sizes, broken files, duplicates, "
    "labels.",
    "debug": "Run one trial in this process, and print each epoch.",
    "predict": "Label images with a trained model.",
    "evaluate": "Evaluate a model on labelled images: accuracy, classes, confusion and mistakes.",
    "report": "Write the results of a search as `report.html`, which needs no network, and as "
    "PNG files.",
    "registry": "Show the versions of registered models, and why each is the champion or is not.",
    "export": "Write a model as a file, and check that its predictions are the model's.",
    "keys": "List the keys of a config: what each takes, its default, and what it means.",
    "cache": "List or clear what can be computed again: cached outputs, and checkpoints of "
    "searches.",
    "doctor": "Check whether a search would run in this folder, and say how to fix what would "
    "stop it.",
    "app": "Serve a page to try registered models on.",
}
"""Each command's summary; the command is the module of its name in `tune`."""


def module_of(command: str) -> str:
    """The module that a command is: its `app` is a :class:`tune.cli.Door`."""
    return f"tune.{command}"


_from_python = [False]


@contextmanager
def called_from_python() -> Iterator[None]:
    """Have advice name the functions of `import tune` instead of commands."""
    before, _from_python[0] = _from_python[0], True
    try:
        yield
    finally:
        _from_python[0] = before


def to_resume(name: str, *, more_time: bool = False) -> str:
    """How a search is resumed, as whoever has started this process would type it.

    Args:
        name: The search's name.
        more_time: Whether it needs more time to go on.
    """
    if _from_python[0]:
        return f"tune.resume({name!r}{', time_budget=MORE' if more_time else ''})"
    return as_typed(f"search --resume {name}{' --time-budget MORE' if more_time else ''}")


def as_typed(words: str) -> str:
    """A command as whoever has started this process would type it: the script, or `python -m`.

    Args:
        words: The command and what follows it, such as `search --resume NAME`.
    """
    start = f"{PROGRAM} " if Path(sys.argv[0]).name == PROGRAM else "python -m tune."
    return start + words
