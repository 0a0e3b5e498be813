"""What a search connects to, with every fault made for real."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.helpers.doctor import check
from tests.helpers.lacking import lacking
from tune.checks.network import check_ray


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


@pytest.mark.nightly
def test_without_a_loopback_device_ray_fails() -> None:
    alone = ("unshare", "--net")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        lacking("a network of one's own needs root")
    assert check("network", "check_ray", alone, RAY_ADDRESS="").state == "fail"
    assert check("network", "check_weights", alone, TORCH_HOME="/nowhere").state == "warn"
