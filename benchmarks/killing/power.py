"""A loss of power, simulated: all processes die, and of each file there is what was synced.

The library `synced.c` is preloaded into a search and keeps what its processes sync. What it does
not show: a disk that says it has written what it has not, and blocks of one file that are written
in another order.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("synced.c")


class Disk:
    """What is on the disk of what a search has written into a folder.

    Args:
        folder: The search's.
        shadow: Where that is kept.
        library: The compiled library, or None where nothing is kept.
    """

    def __init__(self, folder: Path, shadow: Path, library: Path | None) -> None:
        self._folder, self._shadow, self._library = folder, shadow, library
        for name in ("content", "names"):
            (shadow / name).mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the library is preloaded."""
        if self._library is None:
            return {}
        paths = {"KILLS_ROOT": self._folder, "KILLS_SHADOW": self._shadow}
        return {"LD_PRELOAD": str(self._library), **{k: str(v) for k, v in paths.items()}}

    def lose_power(self) -> None:
        """Put into the folder what was synced, and nothing else. No process may be running."""
        for path in self._folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in self._shadow.joinpath("names").iterdir():
            if name.suffix == ".tmp":
                continue
            path = self._folder / name.name.replace("%", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            content = self._shadow / "content" / name.read_text()
            shutil.copy(content, path) if content.exists() else path.touch()


def compile_library(folder: Path) -> Path | None:
    """Compile the library into a folder; None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    target = folder / "synced.so"
    words = [compiler, "-shared", "-fPIC", "-O2", str(_SOURCE), "-o", str(target), "-ldl"]
    subprocess.run(words, check=True)
    return target
