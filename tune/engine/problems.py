"""What fails at the end of a search, and its temporary files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tune.models.winner import Fault, fault_of
from tune.study.folder import SearchFolder
from tune.tracking.writer import UnrecordedError

_SCRATCH: Final = "scratch"
"""The folder, in the search's, of all temporary files: what a kill leaves is cleared later."""
ERRORS: Final = "error.txt"


@dataclass
class Problems:
    """What failed after the last trial. Whatever it is, the rest is done, and a resume does it."""

    home: SearchFolder
    found: list[str] = field(default_factory=list)

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Note an error instead of raising it."""
        try:
            yield
        except UnrecordedError as error:
            self.found.append(str(error))
        except Exception as error:  # noqa: BLE001 - of plugins, figures, files: none may end it
            self.add(fault_of(what, error))

    def add(self, fault: Fault) -> None:
        """Note what has failed, with its traceback in a file."""
        told = f"{fault.what} failed: {fault.reason}"
        if fault.trace is not None:
            path = self.home.folder / ERRORS
            path.write_text(fault.trace, encoding="utf-8")
            told = f"{told} ({path})"
        self.found.append(told)

    @property
    def told(self) -> str | None:
        """All of them in one line, if there are any."""
        return "; ".join(self.found) or None


@contextmanager
def scratch(home: SearchFolder) -> Iterator[None]:
    """Have all temporary files made in the search's folder, and none left there."""
    folder, before = home.folder / _SCRATCH, tempfile.tempdir
    shutil.rmtree(folder, ignore_errors=True)  # what a kill has left
    folder.mkdir(parents=True)
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
