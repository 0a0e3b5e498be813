"""Stopping a search before its end: by a signal, or because it cannot go on for now.

Either way it stops as if killed, which it survives at any moment, but closes its record first.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final

import psutil

from tune.base.errors import FAILED, INTERRUPTED

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OWN: Final = signal.SIGUSR2
"""What a thread sends the main one: any of the others may be ignored, as under `nohup`, and Ray
has a use of its own for SIGUSR1."""

_PATIENCE: Final = 20.0
"""Seconds that the main thread has to end after :func:`interrupt`."""

_heard: list[str] = []
"""What said to stop: a signal's name, or a reason."""
_last_words: list[Callable[[], None]] = []
"""Says that the search has stopped, and how to go on."""


def catch_signals(last_words: Callable[[], None] | None = None) -> None:
    """Have the first Ctrl-C, SIGTERM or SIGHUP raise KeyboardInterrupt, and a second end all.

    Not an exception of our own: within Ray's compiled code, this one alone comes through.

    Signals that are ignored stay so, as `nohup` wants it. Ray sets handlers of its own when it
    starts: call this again then.

    Args:
        last_words: Called where the process must be ended without the main thread's help.
    """
    _last_words[:] = [last_words] if last_words is not None else _last_words
    signal.signal(_OWN, _interrupt)
    for number in _SIGNALS:
        if signal.getsignal(number) not in {signal.SIG_IGN, _leave_at_once}:
            signal.signal(number, _interrupt)


def interrupted() -> bool:
    """Whether something said to stop, even if what it raised was lost on the way."""
    return bool(_heard)


def note(reason: str) -> None:
    """Say that the search is to stop, where its driver looks: :func:`interrupted`."""
    _heard.append(reason)


def forget() -> None:
    """Forget what was said: another search of this process may run."""
    _heard.clear()


def interruption() -> str:
    """What interrupted the search, in words."""
    return f"interrupted by {_heard[0]}" if _heard else "interrupted"


def interruption_code() -> int:
    """Exit code of an interruption: 130 of a signal, else 1."""
    return INTERRUPTED if not _heard or _heard[0] in signal.Signals.__members__ else FAILED


def interrupt(reason: str) -> None:
    """Have the main thread stop as if by a signal; from any thread.

    In Ray's compiled code it may wait for ever for what is dead: then the process ends without it,
    as if it were killed.
    """
    note(reason)
    late = threading.Timer(_PATIENCE, _end)
    late.daemon = True
    late.start()
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, _OWN)


def _interrupt(number: int, _: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _interrupt:
            signal.signal(each, _leave_at_once)
    if not _heard:
        _heard.append(signal.Signals(number).name)
    raise KeyboardInterrupt


def _end() -> None:
    for say in _last_words:
        say()
    kill_children()
    os._exit(interruption_code())


def _leave_at_once(*_: object) -> None:
    kill_children()
    os._exit(INTERRUPTED)


def kill_children() -> list[psutil.Process]:
    """End all processes that this one has started, and that those have; returns them."""
    processes = psutil.Process().children(recursive=True)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return processes
