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

from tests.helpers.processes import run
from trainable import device
from tune.base.commands import to_resume
from tune.base.errors import ConfigError
from tune.library.guest import as_guest
from tune.tracking.credentials import hand_over


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


def test_a_pytorch_that_a_search_has_loaded_has_its_own_threads_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(device, "DEFAULT_THREADS", threads + 2)
    try:
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "torch")
            with as_guest():
                torch.set_num_threads(1)
        assert torch.get_num_threads() == threads + 2
    finally:
        torch.set_num_threads(threads)


STOPPED = """
import signal, threading, time
from tune.engine.signals import interrupted
from tune.library.guest import Stop, as_guest

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup


def work(where):
    try:
        with as_guest(), Stop(patience=0.1) as stop:
            threading.Timer(0.1, stop, ["the loss of it"]).start()
            for _ in range(100):  # nothing reaches another thread while it sleeps
                time.sleep(0.05)
    except KeyboardInterrupt:
        print(where, stop.reason, flush=True)


work("main")
thread = threading.Thread(target=work, args=["other"])
thread.start()
thread.join()
with as_guest(), Stop(patience=0.1) as stop:
    stop("too late")
    assert interrupted()
assert not interrupted()
time.sleep(0.5)  # what has ended is not interrupted
print(signal.getsignal(signal.SIGURG) is signal.SIG_DFL)
"""


def test_what_must_end_does_in_any_thread_and_the_process_goes_on() -> None:
    done = run([sys.executable, "-c", STOPPED])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "main the loss of it\nother the loss of it\nTrue\n"


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


def test_the_password_of_an_address_stays_in_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "mine")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    before = dict(os.environ)
    with as_guest():
        assert hand_over("http://bob:secret@127.0.0.1:5000") == "http://127.0.0.1:5000"
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "secret"
    assert dict(os.environ) == before


def test_loggers_that_are_new_are_not_left_quiet() -> None:
    with as_guest():
        logging.getLogger("made.within").setLevel(logging.CRITICAL)
    assert logging.getLogger("made.within").level == logging.NOTSET


def test_errors_and_advice_are_in_pythons_words() -> None:
    def fail() -> None:
        with as_guest():
            raise ConfigError(f"--name a/b: no name; {to_resume('x', more_time=True)}")

    with pytest.raises(ConfigError, match=r"^search_name a/b: no name; tune\.resume\('x', time_b"):
        fail()
    assert to_resume("x", more_time=True).endswith("search --resume x --time-budget MORE")
