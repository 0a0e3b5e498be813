"""A trial's state after its last epoch and after its best one, on disk or in a bucket."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import warnings
from pathlib import Path
from typing import Any, Final

import torch

from trainable.base.errors import first_line
from trainable.config import TrialConfig
from trainable.files.remote import StorageAwayError, below, place_at

LAST: Final = "last.pt"
BEST: Final = "best.pt"


_CONFIG: Final = "config"
"""What a checkpoint holds beside a trial's state: the digest of its config."""


class NoSpaceError(OSError):
    """There is no space left where checkpoints are written."""


class CheckpointError(ValueError):
    """A file that is no whole checkpoint."""


class AbsentCheckpointError(CheckpointError):
    """There is no such file."""


class Checkpoints:
    """The checkpoints of a trial, in a folder or in a bucket.

    There is a whole one whenever the process is killed. Where the file system has hard links, the
    best one is a second name of the same file, not a copy.

    Args:
        folder: A path, made if it is not there; or an address, such as `s3://bucket/prefix`.
        config: The trial's. Its checkpoints carry a digest of it, and one of another trial is not
            gone on from. Without a config, any is.
    """

    def __init__(self, folder: Path | str, config: TrialConfig | None = None) -> None:
        self._place = place_at(folder)
        self._digest = None if config is None else digest_of(config)

    def save(self, state: dict[str, Any], *, best: bool) -> None:
        """Replace the last checkpoint, and the best one too if this is better.

        Raises:
            NoSpaceError, StorageAwayError, OSError, RuntimeError: It cannot be written; those
                before it are still there.
        """
        try:
            # The best one first: a trial killed in between trains this epoch again, and ends up
            # with the same.
            name = BEST if best else LAST
            with self._place.writing(name) as file:  # given a path, PyTorch hides why it failed
                torch.save({**state, _CONFIG: self._digest}, file)
            if best:
                self._place.link(BEST, LAST)
        except (OSError, RuntimeError) as error:
            if _is_of_full_disk(error):
                folder = self._place.folder
                raise NoSpaceError(f"no space is left for checkpoints in {folder}") from error
            raise

    def last(self) -> dict[str, Any] | None:
        """The state after the last epoch; None where there is none that can be gone on from.

        Raises:
            StorageAwayError: It cannot be known.
        """
        self._place.clear_halves(LAST, BEST)
        try:
            return self._read(LAST)
        except AbsentCheckpointError:
            return None
        except CheckpointError as error:
            warnings.warn(f"{error}: the trial starts again", stacklevel=2)
            return None

    def best(self) -> dict[str, Any]:
        """The state after the best epoch.

        Raises:
            CheckpointError: It is not there, cannot be read, or is of another trial.
            StorageAwayError: It cannot be known.
        """
        return self._read(BEST)

    def _read(self, name: str) -> dict[str, Any]:
        path = below(self._place.folder, name)
        state = _loaded(path, self._content(name))
        # Those of before this was written say nothing of their config.
        found = state.pop(_CONFIG, None)
        if None not in (found, self._digest) and found != self._digest:
            raise CheckpointError(f"{path} is of a trial with another config")
        return state

    def _content(self, name: str) -> io.BytesIO:
        """What PyTorch reads a checkpoint from: not its path, since it hides why that failed.

        Raises:
            AbsentCheckpointError: It is not there.
            StorageAwayError: It cannot be known.
        """
        path = below(self._place.folder, name)
        try:
            return io.BytesIO(self._place.read(name))
        except FileNotFoundError as error:
            raise AbsentCheckpointError(f"{path} cannot be read ({first_line(error)})") from error
        except (IsADirectoryError, NotADirectoryError) as error:
            raise CheckpointError(f"{path} cannot be read ({first_line(error)})") from error
        except StorageAwayError:
            raise
        except OSError as error:  # of a folder on a network's file system too
            raise StorageAwayError(f"{path} cannot be read: {first_line(error)}") from error


def digest_of(config: TrialConfig) -> str:
    """A hash (hex) of what a config sets; keys that are added later, with a default, leave it."""
    content = config.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_of_full_disk(error: BaseException | None) -> bool:
    """Whether there was no space, even where PyTorch raised another error for it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        error = error.__context__
    return False


def _loaded(path: Path | str, content: io.BytesIO) -> dict[str, Any]:
    try:
        state = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # of broken bytes the unpickler makes any error
        raise CheckpointError(f"{path} cannot be read ({first_line(error)})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} cannot be read (it is not a trial's state)")
    return state
