from __future__ import annotations

import sys

import psutil
import pytest

from tests.helpers.processes import assert_gone, run, running

DEAF = """
import signal, subprocess, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "100"], start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.slow
def test_what_ignores_every_signal_ends_with_its_family_when_a_test_fails() -> None:
    started: list[psutil.Process] = []

    def fail() -> None:
        with running([sys.executable, "-c", DEAF]) as deaf:
            assert deaf.stdout is not None
            started.extend(psutil.Process(pid) for pid in (deaf.pid, int(deaf.stdout.readline())))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()
    assert len(started) == 2
    assert_gone(started)


def test_what_is_ignored_here_is_heard_by_the_processes_of_tests() -> None:
    """As under `nohup`, whose process ignores SIGHUP."""
    script = "import signal as s; print([n for n in (1, 2, 15) if s.getsignal(n) is s.SIG_IGN])"
    done = run([sys.executable, "-c", script])
    assert done.stdout == "[]\n", done.stderr
