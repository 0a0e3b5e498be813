"""A search in a terminal: its run, what may stop it, and its last words."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console

from tune.base.errors import DONE, FAILED, MISTAKE, ConfigError, Halt, is_full, without_space
from tune.engine.launch import Launch
from tune.engine.request import Request
from tune.engine.signals import catch_signals, interruption, interruption_code
from tune.engine.startup import import_beside_ray, leave


def run_request(
    asked: Request, console: Console, complain: Callable[[object], None], *, dry_run: bool
) -> int:
    """Do what a command line asks for; once a search has run, this ends the process too.

    Args:
        asked: What it asks for.
        console: Where progress and results are printed.
        complain: Prints a problem on standard error.
        dry_run: Whether to print what would be tried first, and start nothing.

    Returns:
        The exit code.

    Raises:
        ConfigError: The search could not run, or the options do not go together.
    """
    try:
        if dry_run:
            asked.preview(console)
            return DONE
        launch = asked.launch(complain)
    except KeyboardInterrupt:
        complain(interruption())
        return interruption_code()
    if not launch.finished:
        code = run(launch, console, complain)
        leave(code, clean=launch.clean)  # it starts Ray, which must be stopped
    console.print(launch.already)
    return DONE


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
        if not is_full(error):
            raise
        complain(f"{without_space(error)}{launch.advice}")
        return FAILED
    from tune.reporting.terminal import print_ending

    seconds = time.monotonic() - start
    complaints = print_ending(results, launch.home, launch.advice, seconds, console)
    for complaint in complaints:
        complain(complaint)
    return FAILED if complaints else DONE
