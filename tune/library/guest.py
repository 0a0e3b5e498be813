"""A search in a process that is somebody else's, which it leaves as it was.

A command's process is its own: it sets variables that libraries read, takes signals, quiets
loggers, and starts a Ray that ends with it. A script's or a notebook's is not.
"""

from __future__ import annotations

import ctypes
import logging
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from tune.base.commands import called_from_python
from tune.base.environment import prepared_environment
from tune.base.errors import ConfigError
from tune.engine.signals import forget, note
from tune.tracking.credentials import take_back

_OWN: Final = signal.SIGURG
"""What :class:`Stop` sends. Nobody else does, and a process that does not expect it goes on."""
_SIGNALS: Final = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2, _OWN),
)


@contextmanager
def as_guest() -> Iterator[None]:
    """Do what may read variables, log, or compute, and leave none of it changed."""
    with ExitStack() as stack:
        stack.enter_context(_in_pythons_words())
        for kept in (
            prepared_environment,
            called_from_python,
            _credentials,
            _signals,
            _interruption,
            _loggers,
            _threads,
        ):
            stack.enter_context(kept())
        yield


class Stop:
    """Ends what the thread that made it does, from any thread, by a KeyboardInterrupt there.

    At first it only says so, where a search looks after each step: what is raised just anywhere may
    be lost, as where Python calls back, or leave a module half imported. Who has not ended after
    `patience` seconds waits for what is dead, in Ray's compiled code say, and is interrupted. Not
    by the signal of Ctrl-C: a caller may ignore that, as under `nohup`, or answer it in a way of
    its own, as `asyncio` does. To be entered within :func:`as_guest`, which puts back the handler.

    Args:
        patience: Seconds.

    Attributes:
        reason: Why, once it has been called.
    """

    def __init__(self, patience: float = 10.0) -> None:
        self.reason: str | None = None
        self._patience, self._thread = patience, threading.current_thread()
        self._lock, self._over = threading.Lock(), False

    def __enter__(self) -> Stop:
        if self._thread is threading.main_thread():
            signal.signal(_OWN, signal.default_int_handler)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True

    def __call__(self, reason: str) -> None:
        """End it, for a reason."""
        self.reason = self.reason or reason
        note(reason)
        late = threading.Timer(self._patience, self._interrupt)
        late.daemon = True
        late.start()

    def _interrupt(self) -> None:
        with self._lock:
            if self._over:
                return
            ident = self._thread.ident
            assert ident is not None
            if self._thread is threading.main_thread():
                signal.pthread_kill(ident, _OWN)
            else:  # which no signal reaches
                raised = ctypes.py_object(KeyboardInterrupt)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), raised)


def forget_images() -> None:
    """Have the images read again: since they were read for a search, they may have changed."""
    if loaded := sys.modules.get("trainable.data.datasets"):
        loaded.load_dataset.cache_clear()


@contextmanager
def _interruption() -> Iterator[None]:
    """What stops one search says nothing of the next."""
    try:
        yield
    finally:
        forget()


@contextmanager
def _credentials() -> Iterator[None]:
    """An address with a password hands it to MLflow in variables."""
    try:
        yield
    finally:
        take_back()


_OPTIONS: Final = {
    "config": "config",
    "model": "name",
    "name": "search_name",
    "resume": "name",
    "num-samples": "num_samples",
    "time-budget": "time_budget",
    "target": "target",
}
"""The keywords that commands have as options."""


@contextmanager
def _in_pythons_words() -> Iterator[None]:
    """Have errors name keywords instead of a command's options."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(in_pythons_words(str(error))) from error.__cause__


def in_pythons_words(text: str) -> str:
    """A text with keywords in place of a command's options."""
    return re.sub(r"--([a-z-]+)", lambda found: _OPTIONS.get(found[1], found[0]), text)


@contextmanager
def _signals() -> Iterator[None]:
    """Ray sets handlers when it starts. Python lets the main thread alone do so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was set by C code, which alone can set it again
                signal.signal(number, handler)


@contextmanager
def _loggers() -> Iterator[None]:
    """The levels of all loggers and the root's handlers; those that are new have no level."""
    root = logging.getLogger()
    levels = {name: logger.level for name, logger in _known().items()}
    handlers, level = list(root.handlers), root.level
    if "mlflow" in levels:  # which reads the variable for it when it is imported
        logging.getLogger("mlflow").setLevel(max(levels["mlflow"], logging.WARNING))
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        for name, logger in _known().items():
            # MLflow and Optuna give theirs one when they are imported.
            new = logging.INFO if name in {"mlflow", "optuna"} else logging.NOTSET
            logger.setLevel(levels.get(name, new))


def _known() -> dict[str, logging.Logger]:
    known = logging.root.manager.loggerDict
    return {name: each for name, each in known.items() if isinstance(each, logging.Logger)}


@contextmanager
def _threads() -> Iterator[None]:
    """How many threads PyTorch computes in: of one that is loaded meanwhile, its own default."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    try:
        yield
    finally:
        device = sys.modules.get("trainable.device")
        if device is not None:
            device.torch.set_num_threads(before or device.DEFAULT_THREADS)
