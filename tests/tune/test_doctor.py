"""The doctor, with every fault made for real."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY, run_module, user_environment
from tests.helpers.searches import FinishedSearch
from tune.checks import machine
from tune.checks.finding import Finding
from tune.checks.installation import check_packages
from tune.checks.network import check_ray

NAMES = (
    *("python", "packages", "cpu", "memory", "gpu", "disk", "shared memory", "ray", "weights"),
    *("cache", "mlflow", "optuna", "searches"),
)


def examine(folder: Path, *words: str, **variables: str) -> tuple[int, dict[str, Finding]]:
    """What the command finds in a folder, by name, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "tune.doctor", "--json", *words],
        cwd=folder,
        env={**user_environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.stderr == ""
    found = [Finding(**each) for each in json.loads(done.stdout)]
    assert all(each.fix for each in found if each.state != "ok")
    return done.returncode, {each.name: each for each in found}


def check(module: str, function: str, before: tuple[str, ...] = (), **variables: str) -> Finding:
    """What one check finds, in a process and with variables of its own."""
    code = (
        f"import dataclasses, json; from tune.{module} import {function} as check;"
        "print(json.dumps(dataclasses.asdict(check())))"
    )
    done = subprocess.run(
        [*before, sys.executable, "-P", "-c", code],  # a build leaves metadata in the checkout
        env={**user_environment(), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return Finding(**json.loads(done.stdout))


def test_in_an_empty_folder_it_looks_at_everything_and_makes_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = tmp_path / "empty"
    folder.mkdir()
    code, found = examine(folder, TUNE_CACHE=str(cache))
    assert tuple(found) == NAMES
    assert code == 0, found
    assert found["mlflow"].message.startswith("sqlite:///mlflow.db is not there yet")
    assert found["optuna"].state == found["cache"].state == found["searches"].state == "ok"
    assert list(folder.iterdir()) == []
    assert not cache.exists()


def test_after_a_search_all_is_well_and_it_says_so_in_lines(
    finished_search: FinishedSearch,
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_search.folder.rglob("*")}
    done = run_module("tune.doctor", cwd=finished_search.folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    schema = f"sqlite:///mlflow.db has the schema of mlflow {version('mlflow')}"
    assert f"ok    mlflow         {schema}" in lines
    assert "ok    search first   finished" in lines
    assert "ok    searches       1 were begun in this folder" in lines
    assert {path: path.stat().st_mtime_ns for path in finished_search.folder.rglob("*")} == before


def test_an_unknown_option_is_a_mistake(tmp_path: Path) -> None:
    assert run_module("tune.doctor", "--mend", cwd=tmp_path).returncode == 2


# Python and packages


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


def test_a_package_that_cannot_be_imported_does_not_end_the_examination(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "alembic.py").write_text("raise ImportError('alembic is broken')")
    path = os.pathsep.join([str(tmp_path / "broken"), str(REPOSITORY)])
    code, found = examine(tmp_path, PYTHONPATH=path)
    assert code == 1
    assert found["import"].message == "alembic is broken"
    assert found["disk"].state != "fail"


# The machine


def test_bf16_that_does_not_pay_is_told() -> None:
    """oneDNN is kept from the instructions that the processor says it has."""
    if not machine.cpu_has_bf16():
        pytest.skip("this processor has no bf16 to be kept from")
    found = check("machine", "check_cpu", ONEDNN_MAX_CPU_ISA="AVX2")
    assert found.state == "warn"
    assert "train.precision=fp32" in str(found.fix)


def test_memory_for_fewer_trials_than_cpus_is_told() -> None:
    free = min(machine.psutil.virtual_memory().available, machine._container_limit() or 10**18)
    some, none = machine.check_memory(int(free / 1.5)), machine.check_memory(2 * free)
    if (os.cpu_count() or 1) > 1:
        assert some.state == "warn"
        assert "resources.max_concurrent=1" in str(some.fix)
    assert none.state == "fail"


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk, full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    (folder / "filler").write_bytes(bytes(2**20))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_fails_and_a_full_cache_is_told(full_disk: Path) -> None:
    code, found = examine(full_disk, TUNE_CACHE=str(full_disk / "cache"))
    assert code == 1
    assert found["disk"].state == "fail"
    assert found["disk"].message.startswith("0.0 GB free in ")
    assert found["cache"].state == "warn"


def test_a_disk_that_cannot_be_written_fails(full_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    found = machine.check_disk(full_disk)
    assert found.state == "fail"
    assert "cannot be written" in found.message


def test_a_small_shared_memory_is_told(full_disk: Path) -> None:
    found = machine.check_shared_memory(full_disk)
    assert found.state == "warn"
    assert "--shm-size" in str(found.fix)


# Ray


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:{closed}", "127.0.0.1 does not answer on port {closed}"),
        ("ray://127.0.0.1:{closed}", "127.0.0.1 does not answer on port {closed}"),
        ("auto", "no cluster runs here"),
        ("127.0.0.1:many", "is no address"),
    ],
)
def test_a_stale_ray_address_fails(
    address: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", address.format(closed=closed))
    found = check_ray()
    assert found.state == "fail"
    assert told.format(closed=closed) in found.message
    assert "unset RAY_ADDRESS" in str(found.fix)


def test_a_cluster_that_answers_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        assert check_ray().state == "ok"


def test_a_temporary_folder_with_too_long_a_name_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray 2.60 ends with "AF_UNIX path length cannot exceed 107 bytes" there."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TMPDIR", f"/tmp/{'long' * 10}")
    found = check_ray()
    assert found.state == "fail"
    assert found.fix == "export RAY_TMPDIR=/tmp"
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert check_ray().state == "ok"


def test_without_a_loopback_device_ray_fails() -> None:
    alone = ("unshare", "--net")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a network of one's own needs root")
    assert check("network", "check_ray", alone, RAY_ADDRESS="").state == "fail"
    assert check("network", "check_weights", alone, TORCH_HOME="/nowhere").state == "warn"
