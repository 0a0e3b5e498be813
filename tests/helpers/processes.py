"""Processes that a test starts, watches, and never leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest

LIMIT = 240
"""The seconds that a command may take."""


@contextmanager
def running(words: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process whose output is read, and which is killed with its family when the block ends.

    `Popen`'s own block waits for the process instead, for ever where it does not end, and
    pytest's time limit with it.
    """
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(words, start_new_session=True, **{**streams, **options})
    try:
        yield process
    finally:
        if process.poll() is None:
            kill_family(process.pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what outlived its parent
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def run(
    words: Sequence[str | Path], limit: float = LIMIT, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, for at most so many seconds."""
    with running(words, **options) as process:
        output, errors = process.communicate(timeout=limit)
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started; nothing if it has ended."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def kill_family(pid: int) -> list[psutil.Process]:
    """Kill a process and all that it started, and return what was killed."""
    processes = family(pid)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return processes


def assert_gone(processes: list[psutil.Process]) -> None:
    """Assert that processes end within seconds."""
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert [process.name() for process in alive] == []


def workers(pid: int) -> list[psutil.Process]:
    """The processes of a search's trials."""
    found = []
    for process in family(pid):
        with suppress(psutil.Error, IndexError):
            if "Trainable" in process.cmdline()[0]:
                found.append(process)
    return found


def listening(processes: list[psutil.Process]) -> list[IPv4Address | IPv6Address]:
    """The addresses at which processes take connections."""
    found: list[IPv4Address | IPv6Address] = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    address = ip_address(connection.laddr.ip)
                    found.append(getattr(address, "ipv4_mapped", None) or address)
    assert found
    return found


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_until(
    condition: Callable[[], bool], seconds: float = 120, by: subprocess.Popen[str] | None = None
) -> None:
    """Wait for what a process is to bring about; fail, with its last words, if it ended first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if by is not None and by.poll() is not None:
            pytest.fail("".join(filter(None, by.communicate())) + f"exit {by.returncode}")
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.2)
