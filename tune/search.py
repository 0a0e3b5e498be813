"""`python -m tune.search`: search, record, register; or go on with it."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tune.config.loading import DEFAULT_CONFIG, check_files, load_config, with_budget
from tune.config.schema import SearchConfig
from tune.engine.signals import catch_signals, interruption, interruption_code
from tune.engine.startup import import_beside_ray, leave
from tune.environment import prepare_environment
from tune.errors import ConfigError, Halt
from tune.study.folder import Search, SearchHome, checked_name
from tune.tracking.server import check_tracking, tracking_uri

if TYPE_CHECKING:
    from tune.reporting.results import SearchResults

DONE, FAILED, MISTAKE = 0, 1, 2
"""Exit codes."""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help=f"The search, as YAML; by default {DEFAULT_CONFIG}.", show_default=False),
    ] = None,
    num_samples: Annotated[str | None, typer.Option(metavar="N", help="Trials to run.")] = None,
    time_budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after 90s, 30m or 1h30m.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the search; by default the config's and the time."),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Go on with a search, to N trials if that is given."),
    ] = None,
) -> None:
    """Search hyperparameters for fine-tuning a ResNet, and register the best checkpoint.

    KEY=VALUE sets one key of the config, such as `data.limit=2000` or
    `resources.gpu=0.25`. A key that is searched is fixed by it.

    A search that was killed, interrupted or has run out of disk goes on where it was:
    its trials are kept in `mlruns/searches/NAME` and Optuna's storage.

    Examples:
    `python -m tune.search --num-samples 20`

    `python -m tune.search --config configs/image_folder.yaml data.root=photos`

    `python -m tune.search --resume digits-20260131-120000`

    Exit code: 0 done, 1 failed, 2 a mistake in the command or the config, 130 interrupted.
    """
    catch_signals()
    words = [
        *(f"budget.num_samples={n}" for n in [num_samples] if n is not None),
        *(f"budget.time={t}" for t in [time_budget] if t is not None),
    ]
    console = Console(highlight=False)
    try:
        if resume is None:
            code = _begin(config or DEFAULT_CONFIG, [*(overrides or []), *words], name, console)
        elif config or name or overrides:
            raise ConfigError(
                "--resume goes on with a search as it is: beside it, only --num-samples and "
                "--time-budget can be given"
            )
        else:
            code = _resume(resume, num_samples, time_budget, console)
    except ConfigError as error:
        _complain(str(error))
        code = MISTAKE
    except KeyboardInterrupt:
        _complain(interruption())
        code = interruption_code()
    leave(code)


def _begin(path: Path, words: list[str], name: str | None, console: Console) -> int:
    config = load_config(path, words)
    if not config.space:
        raise ConfigError("space is empty: name at least one key to search, such as optim.lr")
    check_files(config)
    home = SearchHome(
        checked_name(name or f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}", "--name")
    )
    if home.exists:
        raise ConfigError(home.taken())
    uri = tracking_uri(config.tracking.uri)
    check_tracking(uri)
    tracking = config.tracking.model_copy(update={"uri": uri})
    config = config.model_copy(update={"tracking": tracking})

    def run() -> SearchResults:
        from tune.engine.runner import start_search

        return start_search(config, home, console)

    return _run(run, config, home, console)


def _resume(name: str, num_samples: str | None, time_budget: str | None, console: Console) -> int:
    home = SearchHome(checked_name(name, "--resume"))
    home.load()  # an unknown name leaves no folder
    home.lock()
    search = home.load()
    extended = _extended(search, num_samples, time_budget)
    if extended is search and search.concluded:
        console.print(
            f"search {name} is finished, with {search.config.budget.num_samples} trials; "
            f"for more: --num-samples"
        )
        return DONE
    check_files(extended.config)
    check_tracking(extended.config.tracking.uri)
    home.save(extended)

    def run() -> SearchResults:
        from tune.engine.runner import resume_search

        return resume_search(extended, home, console)

    return _run(run, extended.config, home, console)


def _extended(search: Search, num_samples: str | None, time_budget: str | None) -> Search:
    """The search with more trials or time; the same object where neither is asked for."""
    given = {"num_samples": num_samples, "time": time_budget}
    words = {key: value for key, value in given.items() if value is not None}
    if not words:
        return search
    config = with_budget(search.config, words)
    before = search.config.budget.num_samples
    if config.budget.num_samples < before:
        raise ConfigError(f"--num-samples {num_samples}: the search has {before}; give more")
    return search.model_copy(update={"config": config, "concluded": False})


def _run(
    run: Callable[[], SearchResults], config: SearchConfig, home: SearchHome, console: Console
) -> int:
    """Run a search, and say what came out or why it stopped."""
    start = time.monotonic()

    def goodbye() -> None:
        _complain(f"{interruption()}{_how_to_go_on(home)}")

    console.print(f"search   {home.name}")
    try:
        prepare_environment()
        import_beside_ray("tune.engine.runner")  # PyTorch, Ray and MLflow: only now worth the wait
        catch_signals(goodbye)
        results = run()
    except KeyboardInterrupt:
        goodbye()
        return interruption_code()
    except Halt as halt:
        _complain(f"{halt}{_how_to_go_on(home)}")
        return FAILED
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        _complain(f"no space is left on the disk ({error}); make some{_how_to_go_on(home)}")
        return FAILED
    from tune.reporting.terminal import print_results

    if not results.finalists:
        reason = f" ({results.error})" if results.error else ""
        _complain(f"no trial was completed{reason}; see mlflow ui, experiment {config.name}")
    else:
        print_results(results, console)
        console.print(f"\nTook {time.monotonic() - start:.0f} s.")
    if results.unrecorded is not None:
        _complain(f"{results.unrecorded}{_how_to_go_on(home)}")
    return DONE if results.finalists and results.unrecorded is None else FAILED


def _how_to_go_on(home: SearchHome) -> str:
    return f"; go on with: python -m tune.search --resume {home.name}" if home.exists else ""


def _complain(message: str) -> None:
    print(f"tune.search: {message}", file=sys.stderr)


if __name__ == "__main__":
    app()
