"""Stopping a search before its end: by a signal, or because it cannot go on for now.

Either way it stops as if killed, which it survives at any moment, but says goodbye.
"""

from __future__ import annotations

import _thread
import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Final

import psutil

INTERRUPTED: Final = 130
"""Exit code of a search that was told to stop."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Halt(BaseException):
    """The search cannot go on now, and says why; `--resume` goes on with it.

    Not an Exception, so that it passes through Ray's loop, as Ctrl-C does.
    """


_heard: list[str] = []
"""What said to stop: a signal's name, or a reason."""


def catch_signals() -> None:
    """Have the first Ctrl-C, SIGTERM or SIGHUP raise KeyboardInterrupt, and a second end all.

    Not an exception of our own: within Ray's compiled code, this one alone comes through.

    Signals that are ignored stay so, as `nohup` wants it. Ray sets handlers of its own when it
    starts: call this again then.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) not in {signal.SIG_IGN, _leave_at_once}:
            signal.signal(number, _interrupt)


def interruption() -> str:
    """What interrupted the search, in words."""
    return f"interrupted by {_heard[0]}" if _heard else "interrupted"


def interruption_code() -> int:
    """Exit code of an interruption: 130 of a signal, else 1."""
    return INTERRUPTED if not _heard or _heard[0] in signal.Signals.__members__ else 1


def interrupt(reason: str) -> None:
    """Have the main thread stop as if by a signal; from any thread."""
    _heard.append(reason)
    _thread.interrupt_main()


def _interrupt(number: int, _: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _interrupt:
            signal.signal(each, _leave_at_once)
    if not _heard:
        _heard.append(signal.Signals(number).name)
    raise KeyboardInterrupt


def _leave_at_once(*_: object) -> None:
    kill_children()
    os._exit(INTERRUPTED)


def kill_children() -> None:
    """End all processes that this one has started, and that those have."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
