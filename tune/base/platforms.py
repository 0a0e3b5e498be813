"""Where this package runs: said in one line where it does not, before any import fails."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_NOT_ON_WINDOWS: Final = (
    "resnet-tune runs on Linux, not on Windows: use it in WSL "
    "(https://learn.microsoft.com/windows/wsl/install)"
)


_NAMES: Final = {"darwin": "macOS"}


def untested() -> str | None:
    """What is said where a search starts on a system on which none has been tested; else None."""
    if sys.platform == "linux":
        return None
    name = _NAMES.get(sys.platform, sys.platform)
    return f"no search has been tested on {name}; Linux, also in a container, is tested"


def check_platform() -> None:
    """Refuse Windows, whose files cannot be locked and replaced as the store and the study do.

    Raises:
        ImportError: This is Windows, and the package is imported by a program.
        SystemExit: This is Windows, and the package is being started as a command.
    """
    if sys.platform != "win32":
        return
    if sys.argv[0] == "-m" or Path(sys.argv[0]).name.startswith("resnet-tune"):
        raise SystemExit(_NOT_ON_WINDOWS)
    raise ImportError(_NOT_ON_WINDOWS)
