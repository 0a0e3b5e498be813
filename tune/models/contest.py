"""What may be registered of a search, as any machine that sees its files can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tune.config.sections import TrackingConfig
from tune.models.candidates import (
    Run,
    finalist_runs,
)
from tune.strategy.confirmation import Finalist
from tune.strategy.refit import refit_of, why_unfitted
from tune.study.ledger import Ledgers
from tune.study.shared import TrialFolders


@dataclass(frozen=True)
class Contest:
    """What may be registered of a search, to be held on any machine that sees its files.

    Attributes:
        folders: Where the runs' checkpoints are.
        best: The winner's best run.
        refit: The winner's run on all images, if there is one.
        mixed: The runs whose weights a soup is made of, the best first; none without a soup.
        remark: What is to be said of the winner if it is no refit.
        fingerprint: The images', which are checked on another machine.
        memory_fraction: The share of a GPU's memory that may be taken.
    """

    folders: TrialFolders
    best: Run
    refit: Run | None
    mixed: tuple[Run, ...]
    remark: str
    fingerprint: str
    memory_fraction: float | None = None

    def without_addresses(self) -> Contest:
        """The same, less the addresses of servers, which may hold passwords and are not needed."""

        def bare(run: Run) -> Run:
            search = run.search.model_copy(update={"tracking": TrackingConfig()})
            return replace(run, search=search)

        refit = None if self.refit is None else bare(self.refit)
        mixed = tuple(map(bare, self.mixed))
        return replace(self, best=bare(self.best), refit=refit, mixed=mixed)


def contest_of(
    folders: TrialFolders,
    finalists: Sequence[Finalist],
    ledgers: Ledgers,
    fingerprint: str,
    *,
    with_soup: bool,
) -> Contest:
    """What may be registered of a search.

    Args:
        folders: Where the runs' checkpoints are.
        finalists: Its best trials, the winner first.
        ledgers: All its trials.
        fingerprint: The images'.
        with_soup: Whether the finalists' soup is made, if the config asks for one.
    """
    searched, confirmed, refitted = ledgers
    winner, config = finalists[0], searched.config
    again, log = winner.best_run, refit_of(winner, refitted) if refitted is not None else None
    mixed: Sequence[Run] = ()
    if confirmed is not None and config.confirm.soup and with_soup:
        mixed = finalist_runs(finalists, searched, confirmed)
    return Contest(
        folders=folders,
        best=Run.of(winner.trial, searched)
        if again is None or confirmed is None
        else Run.of(again, confirmed),
        refit=Run.of(log, refitted) if refitted is not None and log is not None else None,
        mixed=tuple(mixed),
        remark=why_unfitted(config, winner, ledgers),
        fingerprint=fingerprint,
    )
