"""Images that are checked before a search, or after one: what is found, written and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from trainable.files.places import Place
from tune.config.schema import SearchConfig
from tune.reporting.data_lines import doubts_as_json, print_account, print_doubts
from tune.reporting.data_page import data_page
from tune.reporting.files import read_results
from tune.reporting.labels_csv import LABELS, why_no_table, write_labels
from tune.reporting.soundness import account_after, doubts_of
from tune.soundness.account import Account, examine
from tune.soundness.labels import Doubt
from tune.study.search import Search
from tune.tracking.schema import Artifact


@dataclass(frozen=True)
class DataCheck:
    """What is found of images, and the files that show it.

    Attributes:
        account: What is found.
        written: The files by their kinds: `page`, `table`.
        doubts: The images whose label is doubtful; None where no model has judged them.
        how: By which models, in words.
    """

    account: Account
    written: dict[str, str]
    doubts: list[Doubt] | None = None
    how: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        doubtful = {}
        if self.doubts is not None:
            doubtful = doubts_as_json(self.account, self.doubts, self.how)
        return {**self.account.as_json(), **doubtful, **self.written}

    def print(self, console: Console) -> None:
        """Print it in lines, and where the files are."""
        print_account(self.account, console)
        if self.doubts is not None:
            print_doubts(self.account, self.doubts, self.how, console)
        console.print("\n" + "\n".join(self.written.values()), soft_wrap=True)


def check_images(config: SearchConfig, folder: Path) -> DataCheck:
    """Check the images of a config, and write the page about them into a folder.

    Raises:
        ConfigError: There are no images that could be read.
        OSError: The page cannot be written.
    """
    account = examine(config.data.unfolded, config.runtime().image_cache)
    return DataCheck(account, {"page": _write(folder, data_page(account))})


def check_searched_images(
    search: Search, folder: Path, complain: Callable[[str], None]
) -> DataCheck:
    """Check the images of a search, and the labels that its models contradict.

    Args:
        search: The search.
        folder: For the page, and for a table of all labels.
        complain: Is told why there is no table, where there can be none.

    Returns:
        What is found. A table that is there and says otherwise stays: this one has another name.

    Raises:
        ConfigError: What the search has recorded, or its images, cannot be read.
        OSError: A file cannot be written.
    """
    results = read_results(search, judge_again=True)
    account = account_after(results)
    doubts, how = doubts_of(results, account) or [], results.judged.how if results.judged else ""
    written = {"page": _write(folder, data_page(account, doubts, how))}
    if why := why_no_table(account.survey):
        complain(why)
    else:
        written["table"] = str(write_labels(folder / LABELS, account.survey, doubts))
    return DataCheck(account, written, doubts, how)


def _write(folder: Path, page: str) -> str:
    Place(folder).write(Artifact.DATA, page.encode())
    return str(folder / Artifact.DATA)
