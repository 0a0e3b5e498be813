"""A trial's state after its last epoch and after its best one, on disk."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any, Final

import torch

LAST: Final = "last.pt"
BEST: Final = "best.pt"


class Checkpoints:
    """The checkpoints of a trial, in a folder.

    Each is written aside and renamed, so that there is a whole one whenever the process is
    killed. The best one is a second name of the same file, not a copy.

    Args:
        folder: Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: dict[str, Any], *, best: bool) -> None:
        """Replace the last checkpoint, and the best one too if this is better.

        Raises:
            OSError, RuntimeError: It cannot be written; those before it are still there.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._folder / f"{LAST}.{os.getpid()}"
        try:
            torch.save(state, aside)
            if best:
                second = aside.with_suffix(".best")
                os.link(aside, second)
                second.replace(self._folder / BEST)
            aside.replace(self._folder / LAST)
        finally:
            aside.unlink(missing_ok=True)

    def last(self) -> dict[str, Any] | None:
        """The state after the last epoch; None where there is none that can be read."""
        path = self._folder / LAST
        if not path.is_file():
            return None
        try:
            return read_checkpoint(path)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            warnings.warn(f"{path} cannot be read ({reason}): the trial starts again", stacklevel=2)
            return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A state that :meth:`Checkpoints.save` wrote; no code is unpickled."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
