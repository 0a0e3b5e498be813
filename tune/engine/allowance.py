"""A search's time budget: what is left of it, and what is kept for the end of the search."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from trainable.data.datasets import Dataset
from trainable.network.cut_network import build
from tune.config.durations import duration_text
from tune.config.schema import SearchConfig
from tune.strategy.budget import (
    CONFIRM_SHARE,
    STOP_SECONDS,
    confirmation_seconds,
    end_seconds,
    refit_seconds,
    slowest_epoch,
    soup_seconds,
    worker_seconds,
)
from tune.strategy.confirmation import finalists
from tune.strategy.folds import FOLDS, LEAST_PAIRS
from tune.strategy.scheduling import build_scheduler, longest_trial
from tune.study.ledger import Ledger, Ledgers
from tune.study.stopwatch import Stopwatch
from tune.study.trial import TrialLog, TrialState

TOLERANCE: Final = 0.1
TOLERANCE_SECONDS: Final = 15.0
"""By how much, as a share and in seconds, a search is late that waits for its first epoch."""
SLOW_START: Final = 0.5
"""The share of the time budget from which on a start is slow."""
_PROBED: Final = 16
"""Images whose pass through the network is timed."""


@dataclass(frozen=True)
class Load:
    """What the end of a search has to compute.

    Attributes:
        startup: Seconds from the start of the command to its first trial.
        pass_seconds: Seconds in which the test images pass the network; 0 if that was not measured.
        tested: The number of test images.
        trained: The number of training and validation images.
        concurrent: How many trials run at once.
        of_fold: The images that a fold's trial trains on, over those of the search's trials.
        of_all: All training and validation images, over those of the search's trials.
    """

    startup: float
    pass_seconds: float
    tested: int
    trained: int
    concurrent: int
    of_fold: float = 1.0
    of_all: float = 1.0


class Allowance:
    """What is left of a search's time budget.

    Args:
        config: The search's.
        watch: How long it has taken, over all its runs.
        load: What its end has to compute.
    """

    def __init__(self, config: SearchConfig, watch: Stopwatch, load: Load) -> None:
        self._config, self._watch, self._load = config, watch, load
        self.total = math.inf if config.budget.time is None else config.budget.time

    @property
    def remaining(self) -> float:
        """The seconds that are left of the budget; infinite without one."""
        return self.total - self._watch.elapsed

    def for_trials(self, ledger: Ledger) -> float:
        """The seconds for which a search's trials may go on.

        One that has no epoch at all waits for its first, within the tolerance, since there is
        nothing to register without one; and for the time of its start once more, if that alone
        took most of the budget.
        """
        if self.total == math.inf:
            return math.inf
        logs = list(ledger.trials.values())
        if not any(log.epochs for log in logs):
            startup = self._load.startup
            slow = startup if startup > SLOW_START * self.total else 0.0
            return self.remaining + TOLERANCE * self.total + TOLERANCE_SECONDS + slow
        complete = [log for log in logs if log.state is TrialState.COMPLETE]  # no others can be
        chosen = finalists(complete, max(1, self._config.confirm.top_k))
        return self.remaining - self._end(logs) - self._kept(logs, chosen)

    def for_runs(self, searched: Ledger, chosen: Sequence[TrialLog] = ()) -> float:
        """The seconds for which the finalists' runs, or the winner's refit, may go on.

        Args:
            searched: The search's trials.
            chosen: The finalists, as long as a refit of one of them is to come.
        """
        if self.total == math.inf:
            return math.inf
        logs = list(searched.trials.values())
        refitting = self._refitting(logs, chosen)
        return self.remaining - self._end(logs) - (refitting and STOP_SECONDS + refitting)

    def after_trials(self, searched: Ledger) -> float:
        """The seconds from the end of a search's trials to its own, as it looks now."""
        logs = list(searched.trials.values())
        trained = [log for log in logs if log.epochs]
        count = max(1, self._config.confirm.top_k)
        chosen = sorted(trained, key=lambda log: log.rank)[::-1][:count]
        return self._confirming(logs, chosen) + self.after_runs(searched, chosen)

    def after_runs(self, searched: Ledger, chosen: Sequence[TrialLog] = ()) -> float:
        """The seconds from the end of the finalists' runs to the search's, as it looks now.

        Args:
            searched: The search's trials.
            chosen: The finalists; none after the winner's refit.
        """
        logs = list(searched.trials.values())
        return self._making(logs, chosen) + self._end(logs)

    def lacks_confirmation(self, searched: Ledger, chosen: Sequence[TrialLog]) -> str | None:
        """Why the finalists cannot be run again in what is left; None if they can.

        It is enough if each can once, or on the least folds that tell something, in the order in
        which they run. A refit goes before: it is worth more.
        """
        if self.total == math.inf or not chosen or self._config.confirm.top_k == 0:
            return None
        if chosen[0].state is not TrialState.COMPLETE:
            return "no trial has finished its epochs"
        folds = self._config.confirm.over_folds
        least = min(LEAST_PAIRS, self._config.confirm.runs) if folds else 1
        needed = self._confirming(list(searched.trials.values()), chosen, least)
        return self._lack(needed, self.for_runs(searched, chosen))

    def lacks_refit(self, searched: Ledger, winner: TrialLog) -> str | None:
        """Why the winner cannot be trained once more in what is left; None if it can."""
        if self.total == math.inf:
            return None
        needed = self._refitting(list(searched.trials.values()), [winner])
        return self._lack(needed, self.for_runs(searched))

    def lacks_soup(self, searched: Ledger, chosen: Sequence[TrialLog]) -> str | None:
        """Why the finalists' weights cannot be averaged in what is left; None if they can."""
        if self.total == math.inf:
            return None
        return self._lack(soup_seconds(chosen, self._config.confirm), self.for_runs(searched))

    def _lack(self, needed: float, left: float) -> str | None:
        if needed <= left:
            return None
        remain = duration_text(round(max(0.0, left)))
        return f"about {duration_text(round(needed))}, and {remain} of the time budget remain"

    def _confirming(
        self, logs: Sequence[TrialLog], chosen: Sequence[TrialLog], runs: int | None = None
    ) -> float:
        config, load = self._config, self._load
        growth = load.of_fold if config.confirm.over_folds else 1.0
        longest, start = longest_trial(config), worker_seconds(logs, load.startup)
        return confirmation_seconds(
            chosen, longest, config.confirm, load.concurrent, start, growth, runs
        )

    def _kept(self, logs: Sequence[TrialLog], chosen: Sequence[TrialLog]) -> float:
        """The seconds that are kept from the trials for what follows them, until each has stopped.

        If all of it is more than may be kept, it is the refit's alone; or nothing.
        """
        confirming, refitting = self._confirming(logs, chosen), self._refitting(logs, chosen)
        stops = STOP_SECONDS * sum(seconds > 0 for seconds in (confirming, refitting))
        whole = confirming + self._making(logs, chosen) + stops
        alone = refitting and refitting + STOP_SECONDS
        return next((each for each in (whole, alone) if each <= CONFIRM_SHARE * self.total), 0.0)

    def _making(self, logs: Sequence[TrialLog], chosen: Sequence[TrialLog]) -> float:
        """The seconds for the refit; where there is none, for the soup."""
        return self._refitting(logs, chosen) or soup_seconds(chosen, self._config.confirm)

    def _refitting(self, logs: Sequence[TrialLog], chosen: Sequence[TrialLog]) -> float:
        """The seconds for the refit of any of the finalists; 0 if there is to be none."""
        if not self._is_refitted:
            return 0.0
        longest, load = longest_trial(self._config), self._load
        start = worker_seconds(logs, load.startup)
        each = (refit_seconds(log, longest, start, load.of_all) for log in chosen)
        return max(each, default=0.0)

    @property
    def _is_refitted(self) -> bool:
        confirm, wanted = self._config.confirm, self._config.refit.enabled
        return bool(confirm.top_k) and confirm.over_folds if wanted == "auto" else wanted

    def _end(self, logs: Iterable[TrialLog]) -> float:
        load = self._load
        by_epochs = slowest_epoch(logs) * load.tested / load.trained
        testing = load.pass_seconds or by_epochs
        return end_seconds(load.startup, testing, with_soup=not self._is_refitted)


def measure_load(
    config: SearchConfig, dataset: Dataset, watch: Stopwatch, concurrent: int, *, on_gpu: bool
) -> Load:
    """What the end of a search has to compute, measured before its first trial.

    Args:
        config: The search's.
        dataset: Its images.
        watch: How long it has taken.
        concurrent: How many trials run at once.
        on_gpu: Whether trials, and with them the end, have a GPU, which is not probed.
    """
    tested = len(dataset.test)
    each = 0.0 if config.budget.time is None or on_gpu else _seconds_an_image(config)
    trained = len(dataset.train) + len(dataset.val)
    of_all = trained / len(dataset.train)
    of_fold = of_all * (1 - 1 / FOLDS)
    return Load(watch.this_run, each * tested, tested, trained, concurrent, of_fold, of_all)


def undone(
    config: SearchConfig, chosen: Sequence[TrialLog], ledgers: Ledgers, *, refits: bool = False
) -> str:
    """What there was no time for, in words; empty where all was done.

    Args:
        config: The search's.
        chosen: Its finalists.
        ledgers: All its trials.
        refits: Whether the winner was to be trained once more.
    """
    if config.budget.time is None:
        return ""
    searched, confirmed, refitted = ledgers
    cut = sum(log.cut_short for log in searched.trials.values())
    reached = build_scheduler(config).has_enough(searched)
    unstarted = 0 if reached else searched.asked - len(searched.trials)
    left = [
        f"{cut} of {searched.asked} trials were cut short" if cut else "",
        f"{unstarted} were not started" if unstarted else "",
    ]
    if config.confirm.top_k and chosen and chosen[0].state is TrialState.COMPLETE:
        if confirmed is None:
            left.append("the finalists were not confirmed")
        elif confirmed.ended < confirmed.asked or any(
            log.cut_short for log in confirmed.trials.values()
        ):
            left.append("the confirmation was cut short")
    if refits and (refitted is None or any(log.cut_short for log in refitted.trials.values())):
        left.append("the winner was not trained on all images")
    return ", ".join(filter(None, left))


def _seconds_an_image(config: SearchConfig) -> float:
    """The seconds in which an image passes the largest network of the space.

    In one thread: several wait for each other beside a Ray that starts, up to 25 times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _timed(config)
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def _timed(config: SearchConfig) -> float:
    side, longest = config.data.image_size, 0.0
    images = torch.zeros(_PROBED, 3, side, side).to(memory_format=torch.channels_last)
    for arch in config.archs:
        network = build(arch, num_classes=2, depth=0, weights="random").net.eval()
        network(images)  # the first takes longer
        times = []
        for _ in range(2):  # and others may be at work just now
            start = time.perf_counter()
            network(images)
            times.append(time.perf_counter() - start)
        longest = max(longest, min(times) / _PROBED)
    return longest
