"""Who is stopped early: ASHA, or nobody."""

from __future__ import annotations

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from tune.config import SearchConfig
from tune.ranges import Range
from tune.searcher import METRIC, MODE


def build_scheduler(config: SearchConfig) -> TrialScheduler:
    """Ray's scheduler for a search. Trials that stand best at a rung go on to the next."""
    scheduler = config.scheduler
    longest = longest_trial(config)
    if scheduler.name == "fifo" or longest <= scheduler.grace_epochs:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr="epoch",
        metric=METRIC,
        mode=MODE,
        max_t=longest,
        grace_period=scheduler.grace_epochs,
        reduction_factor=scheduler.reduction_factor,
    )


def longest_trial(config: SearchConfig) -> int:
    """Epochs of the longest trial in the space."""
    searched = config.space.get("train.epochs")
    if searched is None:
        return config.train.epochs
    ends = [searched.high] if isinstance(searched, Range) else searched.choices
    return max(int(end) for end in ends)
