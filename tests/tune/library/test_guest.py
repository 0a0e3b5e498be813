"""What a search changes in a process is undone in one that is somebody else's."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tune.library.guest import as_guest


def test_variables_are_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    monkeypatch.delenv("RAY_AIR_NEW_OUTPUT", raising=False)
    before = dict(os.environ)
    with as_guest():
        assert os.environ["RAY_AIR_NEW_OUTPUT"] == "0"
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert dict(os.environ) == before


def test_signals_loggers_and_threads_are_as_they_were_after_an_error_too() -> None:
    root, own = logging.getLogger(), logging.getLogger("somebody's")
    own.setLevel(logging.DEBUG)
    handler, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    handlers = list(root.handlers)

    def search() -> None:
        with as_guest():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            own.setLevel(logging.CRITICAL)
            root.addHandler(logging.NullHandler())
            torch.set_num_threads(threads + 1)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        search()
    assert signal.getsignal(signal.SIGTERM) == handler
    assert own.level == logging.DEBUG
    assert root.handlers == handlers
    assert torch.get_num_threads() == threads


def test_another_thread_than_the_main_one_has_no_signals() -> None:
    def work() -> bool:
        with as_guest():
            return threading.current_thread() is not threading.main_thread()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result()


def test_importing_the_package_loads_nothing_slow() -> None:
    program = (
        "import sys, tune; dir(tune); "
        "print([name for name in ('torch', 'ray', 'mlflow', 'optuna', 'numpy', 'pydantic') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.stdout == b"[]\n", done.stderr
