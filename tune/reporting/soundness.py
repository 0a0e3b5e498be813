"""What a search's report says of its images, and of the labels that its models contradict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.files.places import Place
from tune.base.commands import as_typed
from tune.base.finding import Finding
from tune.reporting.data_page import data_page, doubt_gallery, shown_findings
from tune.reporting.results import SearchResults
from tune.soundness.account import Account, account_of
from tune.soundness.labels import (
    INSTALL,
    PACKAGE,
    Doubt,
    doubtful,
    doubtful_of_several,
    is_installed,
)
from tune.soundness.survey import survey_dataset
from tune.tracking.schema import Artifact


def data_part(results: SearchResults) -> dict[str, Any]:
    """What the report's template shows of the images."""
    account = account_after(results)
    doubts = doubts_of(results, account)
    return {
        "findings": shown_findings([*account.findings, *_of_labels(results, doubts)]),
        "doubts": _gallery(results, account, doubts) if doubts else None,
        "advice": _advice(results),
        "page": Artifact.DATA,
    }


def account_after(results: SearchResults) -> Account:
    """What is found of a search's images, without folds."""
    data = results.config.data
    cache = results.config.cache.of_images
    whole = results.dataset if data.fold is None else load_dataset(data.unfolded, cache)
    return account_of(data, survey_dataset(whole))


def write_data_page(folder: Path, data: DataConfig, dataset: Dataset) -> Path:
    """Write the page about the images of a search that has none yet; returns its file."""
    path = folder / Artifact.DATA
    if not path.exists():
        text = data_page(account_of(data, survey_dataset(dataset)))
        Place(folder).write(Artifact.DATA, text.encode())
    return path


def doubts_of(results: SearchResults, account: Account) -> list[Doubt] | None:
    """The images whose label the search's models contradict; None where that is not known."""
    if results.judged is None or not is_installed():
        return None
    survey = account.survey
    if survey.has_several:
        return doubtful_of_several(results.judged, survey.targets)
    return doubtful(results.judged, survey.labels)


def _of_labels(results: SearchResults, doubts: Sequence[Doubt] | None) -> list[Finding]:
    if doubts is None or results.judged is None:
        return []
    told = f"{len(doubts):,} are doubtful, of {results.judged.how}"
    fix = f"look at them, and correct labels.csv of: {_command(results)}" if doubts else None
    return [Finding("labels", "warn" if doubts else "ok", told, fix)]


def _gallery(
    results: SearchResults, account: Account, doubts: Sequence[Doubt]
) -> dict[str, Any] | None:
    assert results.judged is not None
    return doubt_gallery(account.survey, doubts, results.judged.how)


def _advice(results: SearchResults) -> str:
    """How doubtful labels are found, where they were not looked for."""
    if not is_installed():
        return f"Doubtful labels are found by {PACKAGE}: {INSTALL}, then {_command(results)}"
    if results.judged is None:
        return f"Doubtful labels are found by: {_command(results)}"
    return ""


def _command(results: SearchResults) -> str:
    return as_typed(f"data --search {results.name}")
