"""A trial's state after its last epoch and after its best one, on disk."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path
from typing import Any, Final

import torch

from trainable.errors import first_line
from trainable.places import Place

LAST: Final = "last.pt"
BEST: Final = "best.pt"


class NoSpaceError(OSError):
    """There is no space left where checkpoints are written."""


class CheckpointError(ValueError):
    """A file that is no whole checkpoint."""


class Checkpoints:
    """The checkpoints of a trial, in a folder.

    There is a whole one whenever the process is killed. Where the file system has hard links, the
    best one is a second name of the same file, not a copy.

    Args:
        folder: Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._place = Place(folder)

    def save(self, state: dict[str, Any], *, best: bool) -> None:
        """Replace the last checkpoint, and the best one too if this is better.

        Raises:
            NoSpaceError, OSError, RuntimeError: It cannot be written; those before it are still
                there.
        """
        try:
            # The best one first: a trial killed in between trains this epoch again, and ends up
            # with the same.
            name = BEST if best else LAST
            with self._place.writing(name) as file:  # given a path, PyTorch hides why it failed
                torch.save(state, file)
            if best:
                self._place.link(BEST, LAST)
        except (OSError, RuntimeError) as error:
            if _is_of_full_disk(error):
                folder = self._place.folder
                raise NoSpaceError(f"no space is left for checkpoints in {folder}") from error
            raise

    def last(self) -> dict[str, Any] | None:
        """The state after the last epoch; None where there is none that can be read."""
        self._place.clear_halves(LAST, BEST)
        if not self._place.exists(LAST):
            return None
        try:
            return read_checkpoint(self._place.folder / LAST)
        except CheckpointError as error:
            warnings.warn(f"{error}: the trial starts again", stacklevel=2)
            return None


def _is_of_full_disk(error: BaseException | None) -> bool:
    """Whether there was no space, even where PyTorch raised another error for it."""
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
