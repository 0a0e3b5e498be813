"""The machine, with every fault made for real."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.doctor import check
from tune.checks import machine


@pytest.mark.slow
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


def test_a_disk_that_cannot_be_written_fails(full_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    found = machine.check_disk(full_disk)
    assert found.state == "fail"
    assert "cannot be written" in found.message


def test_a_small_shared_memory_is_told(full_disk: Path) -> None:
    found = machine.check_shared_memory(full_disk)
    assert found.state == "warn"
    assert "--shm-size" in str(found.fix)
