"""A trial's state after its last epoch and after its best one, on disk."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path
from typing import Any, Final

import torch

from trainable.errors import first_line

LAST: Final = "last.pt"
BEST: Final = "best.pt"


class NoSpaceError(OSError):
    """There is no space left where checkpoints are kept."""


class CheckpointError(ValueError):
    """A file that is no whole checkpoint."""


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
            NoSpaceError, OSError, RuntimeError: It cannot be written; those before it are still
                there.
        """
        aside = self._folder / f"{LAST}.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:  # given a path, PyTorch does not say why it failed
                torch.save(state, file)
            if best:
                second = aside.with_suffix(".best")
                os.link(aside, second)
                second.replace(self._folder / BEST)
            aside.replace(self._folder / LAST)
        except (OSError, RuntimeError) as error:
            if _is_of_full_disk(error):
                raise NoSpaceError(f"no space is left for checkpoints in {self._folder}") from error
            raise
        finally:
            aside.unlink(missing_ok=True)

    def last(self) -> dict[str, Any] | None:
        """The state after the last epoch; None where there is none that can be read."""
        path = self._folder / LAST
        for half in self._folder.glob(f"{LAST}.*"):  # of a process that was killed
            half.unlink(missing_ok=True)
        if not path.is_file():
            return None
        try:
            return read_checkpoint(path)
        except CheckpointError as error:
            warnings.warn(f"{error}: the trial starts again", stacklevel=2)
            return None


def _is_of_full_disk(error: BaseException | None) -> bool:
    """Whether there was no space; PyTorch, being told so, goes on to complain of something else."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        error = error.__context__
    return False


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A state that :meth:`Checkpoints.save` wrote; no code is unpickled.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of broken bytes the unpickler makes any error
        raise CheckpointError(f"{path} cannot be read ({first_line(error)})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} cannot be read (it is not a trial's state)")
    return state
