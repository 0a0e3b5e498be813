"""What runs after a search's trials: the finalists once more, and the winner on all images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console

from tune.engine.allowance import Allowance
from tune.engine.stopping import TimeBudget
from tune.strategy.confirmation import (
    Finalist,
    losers_stopped,
    open_confirmation,
    read_confirmation,
)
from tune.strategy.refit import is_refitted, open_refit, read_refit
from tune.strategy.schedulers import Scheduler
from tune.strategy.scheduling import run_all
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.trial import TrialLog
from tune.tracking.writer import RecordWriter


@dataclass(frozen=True)
class Reruns:
    """Runs what is run again, as far as there is time.

    What a run before this one has started goes on as long as it can.

    Attributes:
        search: The search.
        searched: Its trials.
        allowance: What is left of its time.
        writer: Records what runs.
        run: Runs the trials of a ledger.
        console: Where it is said what there is no time for.
    """

    search: Search
    searched: Ledger
    allowance: Allowance
    writer: RecordWriter
    run: Callable[[Ledger, Scheduler, TimeBudget], None]
    console: Console

    def confirm(self, chosen: Sequence[TrialLog]) -> Ledger | None:
        """Run the finalists again, under other seeds or on folds; None if none are to be."""
        lack = self.allowance.lacks_confirmation(self.searched, chosen)
        if lack is not None and read_confirmation(self.search, chosen) is None:
            self.console.print(f"confirm  skipped: {lack}")
            return None
        confirmed, config = open_confirmation(self.search, chosen), self.search.config
        if confirmed is not None:
            scheduler = run_all(config)
            if config.confirm.over_folds:
                self.console.print(f"confirm  on {config.confirm.runs} folds each")
                scheduler = losers_stopped(config, chosen)
            self._run(confirmed, scheduler, chosen)
        return confirmed

    def refit(self, order: Sequence[Finalist]) -> Ledger | None:
        """Train the winner once more on all images, if that is asked for."""
        if not order or not is_refitted(self.search.config, order[0]):
            return None
        lack = self.allowance.lacks_refit(self.searched, order[0].trial)
        if lack is not None and read_refit(self.search, order[0]) is None:
            self.console.print(f"refit    skipped: {lack}")
            return None
        refitted = open_refit(self.search, order[0])
        self._run(refitted, run_all(self.search.config))
        return refitted

    def _run(self, ledger: Ledger, scheduler: Scheduler, chosen: Sequence[TrialLog] = ()) -> None:
        """Run a ledger; with `chosen`, the refit of one of these or their soup is still to come."""
        self.writer.ledgers.append(ledger)
        budget = TimeBudget(
            lambda: self.allowance.for_runs(self.searched, chosen),
            lambda: self.allowance.after_runs(self.searched, chosen),
            lambda: self.allowance.remaining,
        )
        self.run(ledger, scheduler, budget)
