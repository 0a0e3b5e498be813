"""Searches whose trials have run in this process, without Ray, and that are to be concluded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.helpers.commands import DIGITS, SMALL
from tests.helpers.studies import prepare_storage, search_of
from trainable.data.datasets import load_dataset
from trainable.ray_trainable import FineTuneTrainable, TrialSpec
from tune.config.loading import load_config
from tune.engine.conclusion import conclude
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import finalists, open_confirmation, ranked
from tune.strategy.portfolio import open_search
from tune.strategy.refit import is_refitted, open_refit
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger, Ledgers
from tune.study.search import Search
from tune.study.trial import Decision, TrialState
from tune.tracking.writer import RecordWriter

PLUGIN = "tests.helpers.plugins.small_net"
"""Has to be in use: it builds their network."""
RATES = (1e-3, 3e-3)
WORDS = (
    *SMALL,
    "model.arch=small",
    "model.unfreeze_depth=1",
    "augment.policy=none",
    "optim.weight_decay=0.01",
    "cache.enabled=false",
    "confirm.top_k=2",
    "confirm.seeds=2",
    "registry.promote=always",
)


@dataclass
class Ended:
    """A search of two trials and their confirmation, all of which have run.

    Attributes:
        search: The search.
        home: Its folder.
        searched: Its trials.
        confirmed: Their runs under other seeds, or on folds.
        refitted: The winner's on all images.
    """

    search: Search
    home: SearchFolder
    searched: Ledger
    confirmed: Ledger | None = field(default=None)
    refitted: Ledger | None = field(default=None)

    def conclude(self) -> SearchResults:
        """Conclude it, as after a kill if that was tried before."""
        ledgers = Ledgers(self.searched, self.confirmed, self.refitted)
        writer = RecordWriter(self.search, *ledgers.all)
        for ledger in ledgers.all:
            for log in ledger.trials.values():
                writer.changed(log)
        timed = self.search.config.budget.time is not None
        chosen = finalists(self.searched.trials.values(), 2, timed=timed)
        runs = self.confirmed.trials.values() if self.confirmed else ()
        order = ranked(chosen, runs)
        return conclude(self.search, self.home, order, ledgers, writer)


def ended_search(folder: Path, *words: str, name: str = "one") -> Ended:
    """Run a search's trials and their confirmation in this process."""
    rates = f"space.optim.lr=[{','.join(map(str, RATES))}]"
    points = ",".join(f"{{optim.lr: {rate}}}" for rate in RATES)
    uri = f"tracking.uri=sqlite:///{folder / 'mlflow.db'}"
    config = load_config(
        DIGITS, [*WORDS, rates, f"sampler.points=[{points}]", "budget.num_samples=2", uri, *words]
    )
    found = search_of(config, f"sqlite:///{folder / 'optuna.db'}", name)
    search = found.model_copy(update={"data_fingerprint": load_dataset(config.data).fingerprint})
    prepare_storage(f"sqlite:///{folder / 'optuna.db'}")
    home = SearchFolder(name, folder)
    home.folder.mkdir(parents=True, exist_ok=True)
    ended = Ended(search, home, open_search(search))
    run_all(ended.searched, home)
    chosen = finalists(ended.searched.trials.values(), 2)
    ended.confirmed = open_confirmation(search, chosen)
    if ended.confirmed is not None:
        run_all(ended.confirmed, home)
        winner = ranked(chosen, ended.confirmed.trials.values())[0]
        if is_refitted(config, winner):
            ended.refitted = open_refit(search, winner)
            run_all(ended.refitted, home)
    return ended


def run_all(ledger: Ledger, home: SearchFolder) -> None:
    """Run what is left of a ledger's trials."""
    while ledger.has_more():
        log = ledger.begin()
        spec = TrialSpec(
            number=log.number,
            trial=ledger.config.trial(log.params).model_dump(mode="json"),
            folder=str(home.trial(log.number, ledger.kind)),
            runtime=asdict(ledger.config.runtime()),
        )
        trainable, finished = FineTuneTrainable(config=dict(spec)), False
        while not finished:
            result = trainable.step()
            finished = result["finished"]
            ledger.add_epoch(log.number, result["epoch"], result, Decision.GO_ON)
        ledger.end(log.number, TrialState.COMPLETE)
