"""A search on recorded learning curves, in simulated time: a strategy without Ray or training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

from tune.strategy.schedulers import Scheduler
from tune.strategy.scheduling import next_trial
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialLog, TrialState

Curve = Callable[[Mapping[str, Any]], Sequence[Mapping[str, float]]]
"""Gives the metrics of every epoch of a trial, by the values of its searched keys."""

Watch = Callable[[float, TrialLog], None]
"""Is called after each reported epoch with the simulated seconds and the trial that reported."""


def _ignore(now: float, log: TrialLog) -> None:
    """Watch nothing."""


def simulate(
    ledger: Ledger,
    scheduler: Scheduler,
    curve: Curve,
    concurrent: int = 1,
    *,
    until: float = math.inf,
    watch: Watch = _ignore,
) -> float:
    """Run what trials are left of a search.

    Args:
        ledger: The study, with its sampler; what happens is noted in it as by a real search.
        scheduler: Decides which trials go on.
        curve: What trials report; `epoch_seconds` is how long an epoch takes.
        concurrent: How many trials run at once.
        until: The simulated seconds after which nothing is reported any more: what runs or is
            paused then ends as it would where the time of a search is up.
        watch: Is called after each reported epoch.

    Returns:
        The simulated seconds until the last report.
    """
    now, running = 0.0, list[tuple[float, int]]()

    def start() -> None:
        while len(running) < concurrent and (log := next_trial(ledger, scheduler)) is not None:
            epochs, done = curve(log.params), len(log.epochs)
            stopped = done > 0 and log.epochs[-1].decision is Decision.STOP
            if stopped or done == len(epochs):  # it was killed before its end was noted
                _end(ledger, log.number, stopped=stopped)
            else:
                heappush(running, (now + epochs[done]["epoch_seconds"], log.number))

    start()
    while running and running[0][0] <= until:
        now, number = heappop(running)
        log = ledger.trials[number]
        epochs = curve(log.params)
        decision = _report(ledger, scheduler, number, epochs)
        watch(now, log)
        if decision is Decision.GO_ON and len(log.epochs) < len(epochs):
            heappush(running, (now + epochs[len(log.epochs)]["epoch_seconds"], number))
        elif decision is Decision.PAUSE:
            ledger.release(number)
        else:
            _end(ledger, number, stopped=decision is Decision.STOP)
        start()
    for log in ledger.unfinished:  # paused for good, or out of time
        ledger.end(log.number, TrialState.PRUNED, cut_short=not log.is_paused)
    return now


def _end(ledger: Ledger, number: int, *, stopped: bool) -> None:
    ledger.end(number, TrialState.PRUNED if stopped else TrialState.COMPLETE)


def _report(
    ledger: Ledger, scheduler: Scheduler, number: int, epochs: Sequence[Mapping[str, float]]
) -> Decision:
    """Note the next epoch of a trial, with what becomes of it then."""
    log = ledger.trials[number]
    done = len(log.epochs) + 1
    metrics = epochs[done - 1]
    last = done == len(epochs)  # a trial that ends itself is not decided on
    epoch = Epoch(dict(metrics), at=0)
    decision = Decision.GO_ON if last else scheduler.decide(ledger, log, epoch)
    ledger.add_epoch(number, done, metrics, decision)
    return decision
