"""The scripts of the replay, and records of tasks that are made up."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.commands import REPOSITORY
from tests.helpers.recorded import write_records

STRATEGIES = REPOSITORY / "benchmarks" / "strategies"
TASKS = ("digits", "hymenoptera", "cifar10_500")
Import = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def script() -> Iterator[Import]:
    """Imports what lies beside the replay."""
    before = set(sys.modules)
    sys.path.insert(0, str(STRATEGIES))
    yield importlib.import_module
    sys.path.remove(str(STRATEGIES))
    for name in set(sys.modules) - before:  # their names are common
        if (STRATEGIES / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks; of the second, another learning rate is the best."""
    found = tmp_path_factory.mktemp("curves")
    for task, rate in zip(TASKS, (3e-3, 1e-3, 3e-3), strict=True):
        write_records(found, task, configs=24, best_rate=rate)
    return found


@pytest.fixture(scope="module")
def records(folder: Path, script: Import) -> list[dict[str, object]]:
    return script("rows").read(folder / "digits.jsonl")  # type: ignore[no-any-return]
