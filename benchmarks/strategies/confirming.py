"""What a search does once its trials are over: the finalists run again, and the best mean wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from answers import Landscape

from tune.config.schema import SearchConfig
from tune.strategy.confirmation import confirmation_plan, finalists, ranked
from tune.strategy.scheduling import build_scheduler
from tune.strategy.simulation import simulate
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.trial import TrialLog


@dataclass(frozen=True)
class Confirmed:
    """What the finalists' runs came to.

    Attributes:
        seconds: The simulated seconds that they took.
        test: The winner's test accuracy: of the best run of the finalist with the best mean.
    """

    seconds: float
    test: float


def confirm(
    ledger: Ledger, count: int, seeds: int, landscape: Landscape, concurrent: int
) -> Confirmed | None:
    """Run the best trials of a search again, as a search does.

    Args:
        ledger: The search's, with its trials.
        count: How many finalists there are.
        seeds: Under how many other seeds each runs.
        landscape: What its trials report.
        concurrent: How many trials run at once.

    Returns:
        What it came to; None where no trial has completed.
    """
    chosen = finalists(ledger.trials.values(), count)
    if not chosen:
        return None
    runs = _opened(ledger.config, count, seeds, chosen)
    scheduler = build_scheduler(runs.config)
    seconds = simulate(runs, scheduler, landscape, concurrent)
    winner = ranked(chosen, runs.trials.values())[0]
    run = winner.best_run or winner.trial
    assert run.best is not None
    return Confirmed(seconds, landscape(run.params)[run.best - 1]["test_acc"])


def _opened(config: SearchConfig, count: int, seeds: int, chosen: Sequence[TrialLog]) -> Ledger:
    """The ledger of the finalists' runs, in memory; none of them is stopped."""
    parts: Mapping[str, object] = {
        "confirm": config.confirm.model_copy(update={"top_k": count, "seeds": seeds}),
        "scheduler": config.scheduler.model_copy(update={"name": "fifo"}),
    }
    config = config.model_copy(update=parts)
    search = Search(name="replayed", config=config, data_fingerprint="", weights_hash=None)
    plan = confirmation_plan(search, chosen)
    study = optuna.create_study(direction="maximize", sampler=plan.sampler)
    for point in plan.points:
        study.enqueue_trial(point)
    return Ledger(study, config, plan)
