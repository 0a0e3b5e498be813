"""What the packages import is what `pyproject.toml` says that they need."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.helpers.commands import REPOSITORY

PACKAGES = {"trainable", "tune"}


def imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports from outside."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        yield from (name.partition(".")[0] for name in names)


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [word for words in project["optional-dependencies"].values() for word in words]
    declared = {
        canonicalize_name(re.split(r"[\[<>=~! ]", word)[0])
        for word in (*project["dependencies"], *extras)
    }
    known = packages_distributions()
    needed = (
        {
            name
            for package in PACKAGES
            for path in (REPOSITORY / package).rglob("*.py")
            for name in imported(path)
        }
        - PACKAGES
        - set(sys.stdlib_module_names)
    )
    assert len(needed) > 20
    missing = {
        name
        for name in needed
        if declared.isdisjoint(map(canonicalize_name, known.get(name, [name])))
    }
    assert missing == set()
