"""The last lines of a search on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tune.base.commands import to_resume
from tune.base.passwords import masked
from tune.config.durations import duration_text
from tune.config.schema import SearchConfig
from tune.reporting.results import SearchResults
from tune.study.folder import SearchFolder


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
        took, size = duration_text(round(seconds)), f"{home.size / 10**6:.1f} MB"
        console.print(f"\nTook {took}, and {size} in {home.where}.", soft_wrap=True)
    else:
        failures.append(why_nothing(results))
    if results.undone:
        used = f"The time budget of {duration_text(results.config.budget.time or 0.0)} is used up"
        more = to_resume(results.name, more_time=True)
        console.print(f"{used}: {results.undone}. Go on with: {more}", soft_wrap=True)
    if results.unfinished is not None:
        failures.append(f"{results.unfinished}{advice}")
    return failures


def why_nothing(results: SearchResults) -> str:
    """What is said of a search that has no winner."""
    reason = f" ({results.error})" if results.error else ""
    return f"no trial was completed{reason}; see mlflow ui, experiment {results.config.name}"


def print_results(results: SearchResults, console: Console) -> None:
    """Say what a search came to that has a winner: what is surest first, and where to look further.

    The search's own best score comes last: it is the luckiest of many.
    """
    first, *clauses = _headline(results)
    console.print(Text.assemble("\n", (first, "bold")), soft_wrap=True)
    for clause in clauses:
        console.print(f"  {clause}", soft_wrap=True)
    scores = list(_scores(results))
    width = max(19, *(len(title) for title, _ in scores))
    for title, value in scores:
        console.print(f"  {title:{width}s} {value}", soft_wrap=True)
    winner = results.finalists[0].trial
    console.print(f"\nSettings of trial {winner.number}:")
    for key in results.config.space:
        if key in winner.params:
            console.print(f"  {key} = {winner.params[key]}")
    console.print("\nLook further:")
    if results.report is not None:
        console.print(f"  {_short(results.report):45s}  this search as a page", soft_wrap=True)
    for command, shows in _further(results.config).items():
        console.print(f"  {command:45s}  {shows}", soft_wrap=True)


def _headline(results: SearchResults) -> list[str]:
    """What was registered, with the gate's reason; each further clause is a line of its own.

    Of a search that is read from its record, whether the version is the champion now is not known.
    """
    standing = results.standing
    if results.version is None:
        off = "" if results.config.registry.register_best else ": registry.register_best=false"
        return [f"Not registered{off}"]
    alias = ", alias champion" if standing is not None and standing.promoted else ""
    reason = results.decision if standing is None else standing.reason
    first, *clauses = reason.split("; ")
    # The verdict's reason begins with what was decided; any other only says why.
    joint = ", " if first.startswith(("promoted", "not promoted")) else ": "
    name = f"Registered {results.config.model_name} version {results.version}{alias}"
    return [f"{name}{joint}{first}" if first else name, *clauses]


def _scores(results: SearchResults) -> Iterator[tuple[str, str]]:
    """The model and the scores, with what each is, from the surest to the luckiest."""
    if results.model is not None:
        yield "model", results.model.described
    images, intervals = len(results.dataset.test), results.test_intervals
    for title, value in results.test_values.items():
        how = results.how_tested(title)
        yield title, f"{value} of {images} images ({intervals[title]}), {how}"
    yield from _confirmed(results)
    yield from _chosen(results)
    if results.remark:
        yield "", results.remark


def _confirmed(results: SearchResults) -> Iterator[tuple[str, str]]:
    """The winner's runs under other seeds or on folds, if there were any."""
    objective, best = results.objective, results.finalists[0]
    if best.runs:
        spread = f" ± {objective.show(best.spread)}" if len(best.runs) > 1 else ""
        of = f"trial {best.trial.number} over {best.over} after epoch {best.trial.best}"
        yield "confirmed", f"{objective.show(best.mean)}{spread}, {of}"
    if results.disagreement:
        yield "", results.disagreement


def _chosen(results: SearchResults) -> Iterator[tuple[str, str]]:
    """What the model was chosen by: each is a best of several, and so partly luck."""
    objective, winner, luckiest = results.objective, results.finalists[0].trial, results.luckiest
    if results.model is not None:
        why = results.judged_by or "by which the model was chosen"
        yield objective.title(), f"{objective.show(results.model.score)}, {why}"
    if winner.number in results.costs and results.choice is not None:
        within = objective.difference(results.config.strategy.tolerance)
        cost = f"{results.costs[winner.number]:g} {results.choice.unit}"
        yield "cost", f"{cost}, the least within {within} of the best"
    if luckiest is not None:
        count, where = len(results.trials), f"trial {luckiest.number}, epoch {luckiest.best}"
        luck = f"the luckiest of {count} trials" if count > 1 else "of the only trial"
        yield "best of the search", f"{objective.show(luckiest.score)}, {luck}: {where}"


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
