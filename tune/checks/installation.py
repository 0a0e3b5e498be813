"""Whether Python and the installed packages are those that this package requires."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tune.base.finding import Finding

PACKAGE: Final = "resnet-tune"
LOCK: Final = Path(__file__).parents[2] / "requirements.lock"
"""Exact versions, in a checkout; an installed package comes without it."""

_INSTALL: Final = "make install, or: python -m pip install -r requirements.lock"
_NAMED: Final = 5
"""The number of packages named in one line."""


def check_system() -> Finding:
    """The operating system: searches have run on Linux alone (Windows is refused before this)."""
    found = f"{platform.system()} {platform.release()} ({platform.machine()})"
    if platform.system() == "Linux":
        return Finding("system", "ok", found)
    fix = "start with resnet-tune search --num-samples 2; Linux, also in a container, is tested"
    return Finding("system", "warn", f"{found}: no search has been tested on it", fix)


def check_python() -> Finding:
    """Python's version, against what the package requires."""
    found = f"{platform.python_version()} ({sys.executable})"
    try:
        wanted = SpecifierSet(metadata(PACKAGE)["Requires-Python"] or "")
    except PackageNotFoundError:
        return Finding("python", "ok", found)
    if wanted.contains(platform.python_version(), prereleases=True):
        return Finding("python", "ok", found)
    fix = f"make clean install PYTHON=python3.11, or another Python {wanted}"
    return Finding("python", "fail", f"{found} is not {wanted}", fix)


def check_packages(lock: Path = LOCK) -> Finding:
    """Installed packages, against what the package requires, and against the lock if there is one.

    Args:
        lock: A file of pinned versions, as pip reads them.
    """
    try:
        wanted = [Requirement(line) for line in requires(PACKAGE) or []]
    except PackageNotFoundError:
        message = f"{PACKAGE} is not installed, so what it requires is unknown"
        return Finding("packages", "warn", message, _INSTALL)
    needed = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = [reason for each in needed if (reason := _why_not(each)) is not None]
    if wrong:
        return Finding("packages", "fail", _some(wrong), _INSTALL)
    if not lock.is_file():
        return Finding("packages", "ok", f"{len(needed)} as required; no {lock.name} to compare")
    pinned = list(_pinned(lock))
    other = [reason for each in pinned if (reason := _why_not(each, missing_is_wrong=False))]
    if other:
        message = f"not as tested: {_some(other)}"
        return Finding("packages", "warn", message, _INSTALL)
    return Finding("packages", "ok", f"{len(pinned)} as in {lock.name}")


def _why_not(requirement: Requirement, *, missing_is_wrong: bool = True) -> str | None:
    """Why a requirement is not met, or None."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing" if missing_is_wrong else None
    if requirement.specifier.contains(found, prereleases=True):
        return None
    return f"{requirement.name} is {found}, not {requirement.specifier}"


def _pinned(lock: Path) -> Iterator[Requirement]:
    """The lock's packages, without those for other systems."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text and not text.startswith("-"):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def _some(wrong: list[str]) -> str:
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return "; ".join(wrong[:_NAMED]) + more
