"""What is left to be done at the end of a search, in seconds: for that, a time budget is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from tune.config.sections import ConfirmConfig
from tune.study.trial import TrialLog

LEAST_END: Final = 6.0
"""Seconds in which the smallest winner is tested, packaged, registered and reported."""
END_SHARE: Final = 0.6
"""What the rest of the end takes of the time that the start took, also on a busy machine."""
PASSES: Final = 2
"""How often the test images pass a network at the end: the winner's, and the champion's, unless
its answers to them are known. (A third, of the best one so far, is rare, and not counted.)"""
CONFIRM_SHARE: Final = 0.4
"""The share of a time budget that is kept for the confirmation and the refit, at the most."""
RUNS_SHARE: Final = 0.125
"""That of the confirmation alone: where it would take more, more trials are the better use of it
(`benchmarks/strategies/replay.py --trials 6 --share 0.4`)."""
SOUP_SHARE: Final = 0.5
"""What measuring a network's normalization again takes of the time of an epoch."""
STOP_SECONDS: Final = 2.0
"""Seconds from the time at which trials are to stop until all have."""
START_SPARE: Final = 0.5
"""What is kept besides, as a share of what workers take to start: some take longer."""
START_SECONDS: Final = 3.0
"""Seconds until a new worker has loaded what it needs, at the least."""


def slowest_epoch(trials: Iterable[TrialLog]) -> float:
    """The seconds of the longest epoch; 0 before there is one.

    It is one that had to compute the frozen layers' outputs too.
    """
    seconds = (epoch.metrics["epoch_seconds"] for log in trials for epoch in log.epochs)
    return max(seconds, default=0.0)


def usual_epoch(trials: Iterable[TrialLog]) -> float:
    """The median of the seconds that epochs took; 0 before there is one."""
    seconds = [epoch.metrics["epoch_seconds"] for log in trials for epoch in log.epochs]
    return median(seconds) if seconds else 0.0


def end_seconds(startup: float, testing: float) -> float:
    """How long it takes to test, register and report a winner.

    Args:
        startup: Seconds from the start of the command to the first trial: the end loads as many
            libraries, and opens as many files.
        testing: Seconds in which the test images pass the network.
    """
    return max(LEAST_END, END_SHARE * startup) + PASSES * testing


def trial_seconds(log: TrialLog, epochs: int) -> float:
    """How long a trial takes that starts now until so many epochs are trained.

    By the median of what it has reported: the first may have computed what the others found in the
    cache, and one that starts now finds it too.
    """
    return usual_epoch([log]) * epochs


def worker_seconds(trials: Iterable[TrialLog], startup: float) -> float:
    """How long a new worker takes until it trains, as the first ones of a search did.

    That is the longest that a trial waited. One that was begun in a run before this one waited
    between the two as well; but what a worker does at its start, the command does too, and twice
    as fast at the most.

    Args:
        trials: The search's.
        startup: Seconds from the start of the command to the first trial.
    """
    begun = ((log, log.epochs[0]) for log in trials if log.epochs)
    waits = ((one.at - log.started) / 1000 - one.metrics["epoch_seconds"] for log, one in begun)
    return max(START_SECONDS, min(2 * startup, max(waits, default=0.0)))


def confirmation_seconds(
    chosen: Sequence[TrialLog],
    epochs: Sequence[int],
    config: ConfirmConfig,
    concurrent: int,
    start: float,
    growth: float = 1.0,
    runs: int | None = None,
    fresh: float = 0.0,
) -> float:
    """How long it takes to train the finalists again, under other seeds or on folds.

    Args:
        chosen: The finalists.
        epochs: How many epochs each of them has at most.
        config: Says how often.
        concurrent: How many trials run at once.
        start: Seconds that their workers take to start.
        growth: The images that a run trains on, over those that the search's trials did.
        runs: How often each, if not as often as the config says.
        fresh: Seconds that computing the frozen layers' outputs takes, of images of which they are
            not cached.
    """
    if not chosen or config.top_k == 0:
        return 0.0
    times = (trial_seconds(log, most) for log, most in zip(chosen, epochs, strict=True))
    count = config.runs if runs is None else runs
    rounds = math.ceil(len(chosen) * count / concurrent)
    return start + growth * (fresh + rounds * max(times))


def fresh_seconds(log: TrialLog, alike: Iterable[TrialLog], epochs: int) -> float:
    """How much longer a trial takes that has to compute the frozen layers' outputs itself.

    Args:
        log: A trial, which may have found them in the cache.
        alike: The trials that needed the same ones, of which one computed them.
        epochs: In how many of its epochs there are some to compute.
    """
    return epochs * max(0.0, slowest_epoch([log, *alike]) - usual_epoch([log]))


def refit_seconds(
    winner: TrialLog, epochs: int, start: float, growth: float, fresh: float
) -> float:
    """How long it takes to train a winner once more.

    Args:
        winner: The trial.
        epochs: How many epochs it has at most.
        start: Seconds that its worker takes to start.
        growth: The images that it trains on, over those that the search's trials did.
        fresh: Seconds that computing the frozen layers' outputs takes: of these images they are not
            cached.
    """
    return start + growth * (fresh + trial_seconds(winner, epochs))


def soup_seconds(chosen: Sequence[TrialLog], config: ConfirmConfig) -> float:
    """How long it takes to average the finalists' weights.

    For each run, the network is built, as deep as the deepest of them trained, and its
    normalization measured again on the training images.
    """
    if not config.soup or config.top_k == 0:
        return 0.0
    runs = 1 if config.over_folds else config.seeds + 1
    slowest = max((usual_epoch([log]) for log in chosen), default=0.0)
    return len(chosen) * runs * SOUP_SHARE * slowest
