"""The last lines of a search on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from tune.config.schema import SearchConfig
from tune.passwords import masked
from tune.reporting.results import SearchResults
from tune.study.folder import SearchFolder

if TYPE_CHECKING:
    from tune.models.promotion import Standing


def print_ending(
    results: SearchResults, home: SearchFolder, advice: str, seconds: float, console: Console
) -> list[str]:
    """Print what a search came to, and what it lacked.

    Args:
        results: What it came to.
        home: Its folder.
        advice: How it is resumed.
        seconds: How long this command has taken.
        console: Where to print.

    Returns:
        What failed; nothing if the search has all that was asked for.
    """
    failures = []
    if results.finalists:
        print_results(results, console)
        took, size = f"{seconds:.0f} s", f"{home.size / 10**6:.1f} MB"
        console.print(f"\nTook {took}, and {size} in {home.shown}.", soft_wrap=True)
    else:
        reason = f" ({results.error})" if results.error else ""
        see = f"see mlflow ui, experiment {results.config.name}"
        failures.append(f"no trial was completed{reason}; {see}")
    if results.undone:
        used = f"The time budget of {results.config.budget.time:g} s is used up"
        more = f"{advice.removeprefix('; ')} --time-budget MORE"
        console.print(f"{used}: {results.undone}. {more[:1].upper()}{more[1:]}", soft_wrap=True)
    if results.unfinished is not None:
        failures.append(f"{results.unfinished}{advice}")
    return failures


def print_results(results: SearchResults, console: Console) -> None:
    """Say what a search came to that has a winner, and where to look further."""
    best, objective = results.finalists[0], results.objective
    winner = best.trial
    console.print(
        Text.assemble("\n", (f"Best trial: {winner.number}", "bold"), f", epoch {winner.best}")
    )
    for key in results.config.space:
        if key in winner.params:
            console.print(f"  {key} = {winner.params[key]}")
    luck = f"the best of {len(results.trials)} trials, so partly luck"
    console.print(f"  {objective.title():19s} {objective.show(winner.score)}, {luck}")
    if best.runs:
        mean, spread = objective.show(best.mean), objective.show(best.spread)
        over = f"{best.over} after epoch {winner.best}"
        console.print(f"  confirmed           {mean} ± {spread}, {over}")
    if winner.number in results.costs and results.choice is not None:
        within = objective.difference(results.config.strategy.tolerance)
        cost = f"{results.costs[winner.number]:g} {results.choice.unit}"
        console.print(f"  cost                {cost}, the least within {within} of the best")
    _print_model(results, console)
    if results.standing is not None:
        _print_standing(results.config, results.standing, console)
    console.print("\nLook further:")
    if results.report is not None:
        console.print(f"  {_short(results.report):45s}  this search as a page", soft_wrap=True)
    for command, shows in _further(results.config).items():
        console.print(f"  {command:45s}  {shows}", soft_wrap=True)


def _print_model(results: SearchResults, console: Console) -> None:
    """Print whose weights the model has, and how good it is."""
    if results.model is None:
        return
    objective = results.objective
    console.print(f"\nModel: {results.model}", soft_wrap=True)
    why = results.judged_by or "by which it was chosen"
    score = objective.show(results.model.score)
    console.print(f"  {objective.title():19s} {score}, {why}", soft_wrap=True)
    for title, value in results.test_values.items():
        images = len(results.dataset.test)
        console.print(f"  {title:19s} {value} of {images} images, as it is served")
    if results.remark:
        console.print(f"  {results.remark}", soft_wrap=True)


def _print_standing(config: SearchConfig, standing: Standing, console: Console) -> None:
    alias = ", alias champion" if standing.promoted else ""
    console.print(f"\nRegistered {config.model_name} version {standing.version}{alias}")
    if standing.comparison is not None or not standing.promoted:
        console.print(f"  {standing.reason}", soft_wrap=True)


def _short(path: Path) -> str:
    """A path, relative to the working directory if it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _further(config: SearchConfig) -> dict[str, str]:
    """Commands that show more, with what they show."""
    uri = config.tracking.uri and masked(config.tracking.uri)
    study = masked(config.tracking.study or "sqlite:///mlruns/optuna.db")
    if uri and uri.startswith("http"):
        show = uri
    else:
        show = f"mlflow ui --backend-store-uri {uri}" if uri else "mlflow ui"
    return {
        show: "every run, metric and model",
        f"optuna-dashboard {study}": "the study (pip install optuna-dashboard)",
    }
