"""A search in a terminal: its run, what may stop it, and its last words."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

from rich.console import Console

from tune.base.errors import DONE, FAILED, MISTAKE, ConfigError, Halt
from tune.engine.launch import Launch
from tune.engine.signals import catch_signals, interruption, interruption_code
from tune.engine.startup import import_beside_ray


def run(launch: Launch, console: Console, complain: Callable[[object], None]) -> int:
    """Run a search, and print its results or why it stopped.

    Args:
        launch: The search.
        console: Where its progress and its results are printed.
        complain: Prints a problem on standard error.

    Returns:
        The exit code.
    """
    start = time.monotonic()

    def goodbye() -> None:
        complain(f"{interruption()}{launch.advice}")

    console.print(f"search   {launch.home.name}")
    try:
        # PyTorch, Ray and MLflow: only now worth the wait.
        import_beside_ray("tune.engine.runner", launch.config.resources)
        catch_signals(goodbye)
        results = launch.run(console)
    except ConfigError as error:
        complain(error)
        return MISTAKE
    except KeyboardInterrupt:
        goodbye()
        return interruption_code()
    except Halt as halt:
        complain(f"{halt}{launch.advice}")
        return FAILED
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        complain(f"no space is left on the disk ({error}); make some{launch.advice}")
        return FAILED
    from tune.reporting.terminal import print_ending

    seconds = time.monotonic() - start
    complaints = print_ending(results, launch.home, launch.advice, seconds, console)
    for complaint in complaints:
        complain(complaint)
    return FAILED if complaints else DONE
