"""`python -m tune.search`: search, record, register."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tune.config import NAME_RULE, SearchConfig
from tune.environment import prepare_environment
from tune.loading import DEFAULT_CONFIG, ConfigError, check_files, load_config
from tune.startup import import_beside_ray, leave

if TYPE_CHECKING:
    from tune.outcome import Outcome, Winner

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)
    ] = None,
    config: Annotated[Path, typer.Option(help="The search, as YAML.")] = DEFAULT_CONFIG,
    num_samples: Annotated[str | None, typer.Option(metavar="N", help="Trials to run.")] = None,
    time_budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after 90s, 30m or 1h30m.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the search; by default the config's and the time."),
    ] = None,
) -> None:
    """Search hyperparameters for fine-tuning a ResNet, and register the best checkpoint.

    KEY=VALUE sets one key of the config, such as `data.limit=2000` or
    `resources.gpu=0.25`. A key that is searched is fixed by it.

    Examples:
    `python -m tune.search --num-samples 20`

    `python -m tune.search --config configs/image_folder.yaml data.root=photos`

    Exit code: 0 done, 1 failed, 2 a mistake in the command or the config, 130 interrupted.
    """
    words = list(overrides or [])
    if num_samples is not None:
        words.append(f"budget.num_samples={num_samples}")
    if time_budget is not None:
        words.append(f"budget.time={time_budget}")
    console = Console(highlight=False)
    try:
        settings = _check(load_config(config, words))
        name = _check_name(name or f"{settings.name}-{time.strftime('%Y%m%d-%H%M%S')}")
        code = _run(settings, name, console)
    except ConfigError as error:
        print(f"tune.search: {error}", file=sys.stderr)
        code = MISTAKE
    leave(code)


def _check(config: SearchConfig) -> SearchConfig:
    if not config.space:
        raise ConfigError("space is empty: name at least one key to search, such as optim.lr")
    check_files(config)
    return config


def _check_name(name: str) -> str:
    if not re.fullmatch(NAME_RULE, name):
        raise ConfigError(f"--name {name}: letters, digits and . _ - only, at most 100 of them")
    return name


def _run(config: SearchConfig, name: str, console: Console) -> int:
    start = time.monotonic()
    console.print(f"search   {name}")
    prepare_environment()
    import_beside_ray("tune.runner")  # PyTorch, Ray and MLflow: only now worth the wait
    from tune.runner import run_search

    outcome = run_search(config, name, console)
    if outcome.winner is None:
        reason = "interrupted" if outcome.interrupted else "no trial was completed"
        print(f"tune.search: {reason}; see mlflow ui, experiment {config.name}", file=sys.stderr)
    else:
        _report(config, outcome, outcome.winner, console)
        console.print(f"\nTook {time.monotonic() - start:.0f} s.")
    if outcome.interrupted:
        return INTERRUPTED
    return DONE if outcome.winner else FAILED


def _report(config: SearchConfig, outcome: Outcome, winner: Winner, console: Console) -> None:
    """Say what came out, and where to look further."""
    console.print(f"\n[bold]Best trial: {winner.number}[/bold], epoch {winner.metrics['epoch']}")
    for key in config.space:
        part, _, field = key.partition(".")
        console.print(f"  {key} = {getattr(getattr(winner.config, part), field)}")
    console.print(f"  validation accuracy {winner.metrics['val_acc']:.2%}")
    if outcome.test is not None:
        right = f"{outcome.test.accuracy:.2%} of {len(outcome.test.labels)} images"
        console.print(f"  test accuracy       {right}")
    if outcome.version is not None:
        console.print(f"\nRegistered {config.model_name} version {outcome.version}, alias champion")
    console.print("\nLook further:")
    for command, shows in _further(config).items():
        console.print(f"  {command:45s}{shows}", soft_wrap=True)


def _further(config: SearchConfig) -> dict[str, str]:
    """Commands that show more, with what they show."""
    uri, study = config.tracking.uri, config.tracking.study or "sqlite:///mlruns/optuna.db"
    ui = f"mlflow ui --backend-store-uri {uri}" if uri else "mlflow ui"
    return {
        ui: "every run, metric and model",
        f"optuna-dashboard {study}": "the study (pip install optuna-dashboard)",
    }


if __name__ == "__main__":
    app()
