"""What a search does once its trials are over: finalists run again, and the winner is refitted.

Through the code of a search, but for the refit: that is a single run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import optuna
from answers import Landscape

from trainable.base.folds import ALL
from tune.config.schema import SearchConfig
from tune.strategy.budget import soup_seconds
from tune.strategy.confirmation import (
    Finalist,
    confirmation_plan,
    finalists,
    losers_stopped,
    ranked,
)
from tune.strategy.folds import FOLD
from tune.strategy.scheduling import build_scheduler
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.trial import TrialLog

SEEDS: Final = 2
"""Under how many other seeds the presets run a finalist again."""


@dataclass(frozen=True)
class Finish:
    """How a search ends.

    Attributes:
        top_k: How many finalists run again; 0 takes the best trial.
        folds: On how many folds each runs instead, where a task has some: there the validation
            images are few.
        soup: Whether the soup of the finalists' runs under other seeds is made, which takes time.
        refit: Whether the winner is trained on all images then, so that there is no soup; with
            `auto` it is where a task has folds.
        seeds: Under how many other seeds a finalist runs.
    """

    top_k: int = 0
    folds: int = 0
    soup: bool = False
    refit: bool | Literal["auto"] = False
    seeds: int = SEEDS

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.top_k or self.refit)

    def on(self, landscape: Landscape) -> Finish:
        """What it comes to on a task."""
        folding = landscape.folding
        if folding is None:  # nothing was recorded of it
            return Finish(self.top_k, seeds=self.seeds)
        few = bool(folding.folds)
        folds = self.folds if few else 0
        refit = few if self.refit == "auto" else self.refit
        soup = self.soup and not folds and not refit
        return Finish(self.top_k, folds, soup, refit, self.seeds)

    @property
    def least(self) -> Finish:
        """The same with as few runs as tell anything; of folds, it is not known of fewer."""
        return replace(self, seeds=1) if self.top_k and not self.folds else self

    @property
    def runs(self) -> int:
        """How many runs it is, at most."""
        return self.top_k * (self.folds or self.seeds) + bool(self.refit)


@dataclass(frozen=True)
class Finished:
    """What the end of a search came to.

    Attributes:
        seconds: The simulated seconds that it took.
        test: The test accuracy of what is registered.
        confirming: The seconds of it for which finalists ran again.
    """

    seconds: float
    test: float
    confirming: float = 0.0


def finished(
    ledger: Ledger, finish: Finish, landscape: Landscape, concurrent: int
) -> Finished | None:
    """Finish a search.

    Args:
        ledger: The search's, with its trials.
        finish: How; as it is on the task.
        landscape: What its trials report.
        concurrent: How many trials run at once.

    Returns:
        What it came to; None where no trial has completed.
    """
    chosen = finalists(ledger.trials.values(), max(finish.top_k, 1))
    if not chosen:
        return None
    winner, confirming = Finalist(chosen[0]), 0.0
    if finish.top_k:
        runs = _opened(ledger.config, finish, chosen)
        whole = build_scheduler(runs.config)
        scheduler = losers_stopped(runs.config, chosen) if finish.folds else whole
        confirming = simulate(runs, scheduler, landscape, concurrent)
        winner = ranked(chosen, runs.trials.values())[0]
    if finish.refit:
        again = landscape({**winner.trial.params, FOLD: ALL})
        seconds = confirming + sum(epoch["epoch_seconds"] for epoch in again)
        return Finished(seconds, again[len(again) - 1]["test_acc"], confirming)
    mixing = soup_seconds(chosen, _of(ledger.config, finish).confirm) if finish.soup else 0.0
    run = winner.best_run or winner.trial
    assert run.best is not None
    test = landscape(run.params)[run.best - 1]["test_acc"]
    return Finished(confirming + mixing, test, confirming)


def _of(config: SearchConfig, finish: Finish) -> SearchConfig:
    asked = {"top_k": finish.top_k, "seeds": finish.seeds, "folds": finish.folds}
    parts: Mapping[str, object] = {
        "confirm": config.confirm.model_copy(update=asked),
        "scheduler": config.scheduler.model_copy(update={"name": "fifo"}),
    }
    return config.model_copy(update=parts)


def _opened(config: SearchConfig, finish: Finish, chosen: Sequence[TrialLog]) -> Ledger:
    """The ledger of the finalists' runs, in memory; under other seeds, none of them is stopped."""
    config = _of(config, finish)
    search = Search(name="replayed", config=config, data_fingerprint="", weights_hash=None)
    plan = confirmation_plan(search, chosen)
    study = optuna.create_study(direction="maximize", sampler=plan.sampler)
    for point in plan.points:
        study.enqueue_trial(point)
    return Ledger(study, config, plan)
