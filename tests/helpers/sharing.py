"""What costs seconds to make is made once a session, by whichever worker needs it first."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` filled, the same one for every worker of pytest-xdist.

    The others wait meanwhile. A folder that could not be filled is not tried again.
    """
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        if not folder.exists():
            folder.mkdir()
            make(folder)
            (folder / ".made").touch()
        assert (folder / ".made").exists(), f"another test could not make {name}"
    return folder
