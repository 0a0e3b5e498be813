"""The package as a user has it: installed from its wheel, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import processes
from tests.helpers.commands import REPOSITORY, user_environment

BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "configs", "trainable", "tune")
_SETUP = "from setuptools import setup; setup()"
_SCRIPT = "#!{python}\nimport sys\n\nfrom {module} import {name}\n\nsys.exit({name}())\n"
_SCRIPTS = {"mlflow": ("mlflow.cli", "cli"), "uvicorn": ("uvicorn.main", "main")}
"""Of the dependencies: what serves a model."""


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it.

    Attributes:
        wheel: The wheel's file.
        folder: The environment's.
    """

    wheel: Path
    folder: Path

    @property
    def files(self) -> list[str]:
        """The names of the files in the wheel."""
        with zipfile.ZipFile(self.wheel) as wheel:
            return wheel.namelist()

    @property
    def environment(self) -> dict[str, str]:
        """A user's variables with the environment activated, and no checkout on any path."""
        variables = user_environment()
        del variables["PYTHONPATH"]
        return {**variables, "PATH": f"{self.folder / 'bin'}{os.pathsep}{variables['PATH']}"}

    def run(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command in `cwd` to its end, as one finds it on the PATH."""
        return processes.run(words, cwd=cwd, env=self.environment)


def install_wheel(folder: Path) -> Installed:
    """Build the wheel, from the source distribution, and install it alone.

    setuptools does it without pip, and the dependencies are those of this process: both would
    want a network.
    """
    wheel, home = _build(folder / "built"), folder / "environment"
    _python(folder, "-m", "venv", "--without-pip", str(home))
    python = str(home / "bin" / "python")
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    _python(folder, "-m", "pip", "--python", python, "install", *options, str(wheel))
    (packages,) = (home / "lib").glob("python*/site-packages")
    # A folder that a .pth file names comes last, and .pth files in it are not read: so neither is
    # that of an editable install of this package.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    for script, (module, name) in _SCRIPTS.items():
        path = home / "bin" / script
        path.write_text(_SCRIPT.format(python=python, module=module, name=name))
        path.chmod(0o755)
    return Installed(wheel, home)


def _build(folder: Path) -> Path:
    source = folder / "checkout"
    source.mkdir(parents=True)
    skip = shutil.ignore_patterns("__pycache__")
    for name in BUILT_FROM:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=skip)
        else:
            shutil.copy(REPOSITORY / name, source)
    _python(source, "-c", _SETUP, "--quiet", "sdist", "--dist-dir", str(folder))
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / packed.name.removesuffix(".tar.gz")
    _python(unpacked, "-c", _SETUP, "--quiet", "bdist_wheel", "--dist-dir", str(folder))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _python(cwd: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
