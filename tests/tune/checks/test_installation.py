"""Python and packages, with every fault made for real."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY
from tests.helpers.doctor import check
from tune.checks.installation import check_packages, check_system


def test_a_package_that_is_missing_or_too_old_fails(tmp_path: Path) -> None:
    """Another `resnet-tune` is put before the one that is installed."""
    info = tmp_path / "site" / "resnet_tune-9.0.dist-info"
    info.mkdir(parents=True)
    wants = ["Requires-Python: >=3.99", "Requires-Dist: optuna>=99", "Requires-Dist: no-such"]
    wants += ["Requires-Dist: never-asked; extra == 'dev'"]
    (info / "METADATA").write_text("\n".join(["Name: resnet-tune", "Version: 9.0", *wants]))
    path = os.pathsep.join([str(info.parent), str(REPOSITORY)])
    assert check("installation", "check_python", PYTHONPATH=path).state == "fail"
    found = check("installation", "check_packages", PYTHONPATH=path)
    assert found.state == "fail"
    assert found.message == f"optuna is {version('optuna')}, not >=99; no-such is missing"


def test_a_version_that_is_not_the_locks_is_told(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        f"optuna==1.0\n    # via tune\nmlflow=={version('mlflow')}\nno-such==1.0\n"
        "colorama==0.1 ; sys_platform == 'win32'\n"
    )
    found = check_packages(lock)
    assert found.state == "warn"
    assert found.message == f"not as tested: optuna is {version('optuna')}, not ==1.0"


def test_without_a_lock_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert check_packages(tmp_path / "requirements.lock").state == "ok"


@pytest.mark.parametrize(("system", "state"), [("Linux", "ok"), ("Darwin", "warn")])
def test_a_system_on_which_no_search_has_run_is_told(
    system: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    found = check_system()
    assert found.state == state
    assert found.message.startswith(f"{system} ")
    assert bool(found.fix) == (state == "warn")
    assert ("no search has been tested on it" in found.message) == (state == "warn")
