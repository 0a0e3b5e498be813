"""Image files that cannot be read: all of them are named at once, or left out (`data.on_error`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from os.path import commonpath, sep
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trainable.data.decoding.files import Files
from trainable.data.decoding.image_file import ImageError, read_square
from trainable.data.parts import SplitName
from trainable.data.stored import Indices

NAMED: Final = 20
"""Files that a message names, with what is wrong with each; the others are counted."""
_SKIP: Final = "data.on_error=skip"
_LISTS_ALL: Final = "python -m tune.data --json"


class Broken:
    """The files of a source that cannot be read as images.

    Args:
        files: All of its files by split.
    """

    def __init__(self, files: Mapping[SplitName, Files]) -> None:
        self._files = files
        self._rows = {name: np.flatnonzero(each.facts["broken"]) for name, each in files.items()}

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    @property
    def rest(self) -> dict[SplitName, Indices]:
        """The rows of the files that can be read."""
        return {
            name: np.delete(np.arange(len(each.paths)), self._rows[name])
            for name, each in self._files.items()
        }

    @property
    def error(self) -> ImageError:
        """What is said of them where they are not left out."""
        if len(self) == 1:
            return ImageError(f"{_error_of(next(self._paths()))}, or leave it out with {_SKIP}")
        return ImageError(
            f"{len(self):,} files cannot be read as images: {self._named()}: repair or remove "
            f"them, or leave them out with {_SKIP}"
        )

    @property
    def note(self) -> str:
        """What is said of them where they are."""
        total = sum(len(each.paths) for each in self._files.values())
        all_of_them = f" ({_LISTS_ALL} names all)" if len(self) > 1 else ""
        which = f"{len(self):,} of {total:,} files, which cannot be read as images{all_of_them}"
        folder = commonpath([path.absolute().parent for path in self._all()])
        return f"{_SKIP} leaves out {which}: {self._named()}".replace(f"{folder}{sep}", "")

    def check_classes(
        self,
        labels: Mapping[SplitName, NDArray[np.int64]],
        targets: Mapping[SplitName, NDArray[np.uint8]],
        classes: Sequence[str],
    ) -> None:
        """Check that no class loses all of its images in a split.

        Args:
            labels: The label of each file.
            targets: Which labels each has, of shape (N, classes), where it may have any number.
            classes: The names of the classes.

        Raises:
            ImageError: One does.
        """
        for name, rows in self._rows.items():
            truth = targets[name] if targets else labels[name]
            lost = np.flatnonzero(_has_some(truth, classes) & ~_has_some(truth, classes, rows))
            if len(lost):
                of_label = truth[rows, lost[0]] > 0 if targets else truth[rows] == lost[0]
                reasons = _reasons(self._files[name].paths[row] for row in rows[of_label].tolist())
                raise ImageError(
                    f"{_SKIP} leaves no image of {classes[lost[0]]!a} in {name}: {reasons}: "
                    "repair some, or remove the class"
                )

    def _all(self) -> Iterator[Path]:
        return chain.from_iterable(each.paths for each in self._files.values())

    def _paths(self) -> Iterator[Path]:
        for name, rows in self._rows.items():
            yield from (self._files[name].paths[row] for row in rows.tolist())

    def _named(self) -> str:
        more = len(self) - NAMED
        return _reasons(self._paths()) + (
            f"; and {more:,} more, which {_LISTS_ALL} names" if more > 0 else ""
        )


def _has_some(
    truth: NDArray[Any], classes: Sequence[str], without: Indices | None = None
) -> NDArray[np.bool_]:
    """Which classes have images: by their labels, or by which labels each of them has."""
    rest = truth if without is None else np.delete(truth, without, axis=0)
    if truth.ndim == 2:
        return np.asarray(rest.any(axis=0))
    return np.bincount(rest, minlength=len(classes)) > 0


def _reasons(paths: Iterator[Path]) -> str:
    return "; ".join(_error_of(path).brief for path in islice(paths, NAMED))


def _error_of(path: Path) -> ImageError:
    try:
        read_square(path, 1)
    except ImageError as error:
        return error
    # Its file system was not well when it was found broken, and what was found is stored.
    return ImageError(f"{path} could not be read at first: touch it, so that it is read again")
