"""The machine, with every fault made for real."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from trainable.device import bf16_gain, cpu_precision
from tune.checks import machine


def test_it_is_told_what_bf16_gains_and_what_is_taken() -> None:
    found = machine.check_cpu()
    assert f"in bf16 a convolution runs {bf16_gain():.1f} times as fast" in found.message
    assert found.message.endswith(f"; auto takes {cpu_precision('auto')}")


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
