"""The first signal says goodbye, the second does not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.processes import run, running

WAIT = """
import time
from tune.engine.signals import catch_signals, interruption
catch_signals()
try:
    print("ready", flush=True)
    while True:  # a signal may come just before a sleep
        time.sleep(0.05)
except KeyboardInterrupt:
    print(interruption(), flush=True)
    while True:
        time.sleep(0.05)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_can_be_answered_and_the_second_ends_all(number: signal.Signals) -> None:
    with running([sys.executable, "-c", WAIT]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"interrupted by {number.name}\n"
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert time.monotonic() - start < 2


@pytest.mark.slow
def test_a_signal_that_is_ignored_stays_so() -> None:
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with running([sys.executable, "-c", ignoring + WAIT]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)


FROM_A_THREAD = """
import signal, threading, time
from tune.engine import signals as halt
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
halt._PATIENCE = 1.0
halt.catch_signals(lambda: print("last words:", halt.interruption(), flush=True))
threading.Timer(0.5, halt.interrupt, ["the death of it"]).start()
"""
ANSWERED = """
try:
    time.sleep(60)
except KeyboardInterrupt:
    print(halt.interruption(), flush=True)
    raise SystemExit(halt.interruption_code())
"""
DEAF = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})  # as in code that never looks
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("main", "told"),
    [
        (ANSWERED, "interrupted by the death of it\n"),
        (DEAF, "last words: interrupted by the death of it\n"),
    ],
)
def test_a_thread_ends_the_process_whatever_is_ignored_or_waited_for(main: str, told: str) -> None:
    done = run([sys.executable, "-c", FROM_A_THREAD + main])
    assert (done.stdout, done.returncode) == (told, 1)
