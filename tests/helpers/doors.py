"""The commands, run in this process: for mistakes, which need no process each."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from typer.testing import CliRunner

from tests.helpers.commands import user_environment
from tune.base.commands import COMMANDS, module_of

DOORS = tuple(map(module_of, COMMANDS))


def invoke(
    module: str, *words: str, cwd: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run one of the commands in `cwd` to its end, as `run_module` does in a process of its own."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        with chdir(cwd), patch.dict(os.environ, user_environment(), clear=True):
            done = CliRunner().invoke(
                import_module(module).app, list(words), stdin, catch_exceptions=False
            )
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)
