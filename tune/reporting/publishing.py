"""A report's files: written at the end of a search, or made again from its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainable.data.datasets import load_dataset
from tune.errors import ConfigError
from tune.reporting.page import page
from tune.reporting.png import write_pictures
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import confirmation, finalists, ranked, study_of
from tune.study.folder import Search
from tune.study.ledger import read_ledger
from tune.study.trial import TrialLog
from tune.tracking.evaluation import read_outcome


def write_report(results: SearchResults, folder: Path) -> list[Path]:
    """Write the page and the pictures into a folder; returns their files, the page first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(page(results), encoding="utf-8")
    return [path, *write_pictures(results, folder)]


def read_results(search: Search) -> SearchResults:
    """What is known of a search, from its study and its record.

    Raises:
        ConfigError: Its study or its data cannot be had, or no epoch of it has been told.
    """
    config = search.config
    ledger = read_ledger(config, search.name)
    if not any(log.epochs for log in ledger.trials.values()):
        raise ConfigError(f"search {search.name}: there is nothing to show before the first epoch")
    chosen = finalists(ledger.trials.values(), max(1, config.confirm.top_k))
    try:
        dataset = load_dataset(config.data)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    test, tags = read_outcome(search)
    return SearchResults(
        name=search.name,
        ledger=ledger,
        finalists=tuple(ranked(chosen, _confirmed(search, chosen))),
        dataset=dataset,
        test=test,
        candidate=tags.candidate if tags else None,
        decision=tags.decision if tags else "",
    )


def _confirmed(search: Search, chosen: Sequence[TrialLog]) -> list[TrialLog]:
    if not chosen or search.config.confirm.top_k == 0:
        return []
    config = confirmation(search.config, chosen)
    try:
        ledger = read_ledger(config, study_of(search.name), "confirm")
    except ConfigError:  # the search is not that far
        return []
    return list(ledger.trials.values())
