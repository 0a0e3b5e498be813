"""A search's time budget: what is left of it, and what is kept for the end of the search."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from trainable.data.datasets import Dataset
from trainable.data.decoding.image_file import ImageError, read_square
from trainable.data.hashing import hash_file
from trainable.data.sizes import stored_side
from trainable.device import available_cores
from trainable.network.cut_network import build
from trainable.registries import POLICIES
from tune.config.durations import duration_text
from tune.config.schema import SearchConfig
from tune.config.walk import possible
from tune.strategy.budget import (
    CONFIRM_SHARE,
    RUNS_SHARE,
    START_SPARE,
    STOP_SECONDS,
    confirmation_seconds,
    end_seconds,
    fresh_seconds,
    refit_seconds,
    slowest_epoch,
    soup_seconds,
    worker_seconds,
)
from tune.strategy.choice import Choice
from tune.strategy.folds import FOLDS, LEAST_PAIRS
from tune.strategy.scheduling import build_scheduler
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
_CACHED_BY: Final = (
    "model.arch",
    "model.unfreeze_depth",
    "data.image_size",
    "augment.policy",
    "augment.num_views",
)
"""Keys that decide which outputs of frozen layers a trial needs."""
_SIDE: Final = 128
"""Of larger images, in pixels a side, fewer are timed."""
_CORES_FED: Final = 0.5
"""The share of the cores that a pass of many images keeps busy, at the least."""


@dataclass(frozen=True)
class Load:
    """What the end of a search has to compute.

    Attributes:
        startup: Seconds from the start of the command to its first trial.
        pass_seconds: Seconds in which the test images are read and pass the network, on the CPU; 0
            if that was not measured.
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
        choice: How the search, whose config it has, chooses its finalists.
        watch: How long it has taken, over all its runs.
        load: What its end has to compute.
    """

    def __init__(self, choice: Choice, watch: Stopwatch, load: Load) -> None:
        self._config, self._choice, self._watch, self._load = choice.config, choice, watch, load
        asked = choice.config.budget.time
        self.total = math.inf if asked is None else asked

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
        chosen = self._choice.finalists(complete, max(1, self._config.confirm.top_k))
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
        kept = refitting and self._between(logs) + refitting
        return self.remaining - self._end(logs) - kept

    def after_trials(self, searched: Ledger) -> float:
        """The seconds from the end of a search's trials to its own, as it looks now."""
        logs = list(searched.trials.values())
        trained = [log for log in logs if log.epochs and log.state is not TrialState.FAIL]
        count = max(1, self._config.confirm.top_k)
        chosen = sorted(trained, key=lambda log: log.rank)[::-1][:count]
        if self._choice.costs:
            chosen = self._choice.finalists(trained, count) or chosen
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
        needed = self._confirming(list(searched.trials.values()), chosen, self._least_runs)
        return self._lack(needed, self.for_runs(searched, chosen))

    def lacks_refit(self, searched: Ledger, winner: TrialLog) -> str | None:
        """Why the winner cannot be trained once more in what is left; None if it can."""
        if self.total == math.inf:
            return None
        needed = self._refitting(list(searched.trials.values()), [winner])
        return self._lack(needed, self.for_runs(searched))

    def lacks_soup(self, searched: Ledger, chosen: Sequence[TrialLog]) -> str | None:
        """Why the finalists' weights cannot be averaged in what is left; None if they can."""
        if self.total == math.inf or not self._config.confirm.soup:
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
        start, epochs = worker_seconds(logs, load.startup), list(map(self._epochs_of, chosen))
        # Other seeds read what the search has cached; of the images of folds nothing is.
        growth, fresh = 1.0, 0.0
        if config.confirm.over_folds:
            growth = load.of_fold
            fresh = max((self._fresh(log, logs) for log in chosen), default=0.0)
        return confirmation_seconds(
            chosen, epochs, config.confirm, load.concurrent, start, growth, runs, fresh
        )

    def _kept(self, logs: Sequence[TrialLog], chosen: Sequence[TrialLog]) -> float:
        """The seconds that are kept from the trials for what follows them, until each has stopped.

        If all of it is more than may be kept, the finalists run again as often as tells anything;
        if that is too, it is the refit's alone; or nothing.
        """
        making, refitting = self._making(logs, chosen), self._refitting(logs, chosen)

        def whole(runs: int | None) -> float:
            confirming = self._confirming(logs, chosen, runs)
            if confirming > RUNS_SHARE * self.total:
                return math.inf
            stops = sum(seconds > 0 for seconds in (confirming, refitting))
            return confirming + making + self._between(logs) * stops

        alone = refitting and refitting + self._between(logs)
        wanted = (whole(None), whole(self._least_runs), alone)
        return next((each for each in wanted if each <= CONFIRM_SHARE * self.total), 0.0)

    def _between(self, logs: Sequence[TrialLog]) -> float:
        """The seconds that are kept until what runs has stopped and what follows has started.

        Beside what that is taken to take: else what is late by a second would be left out.
        """
        return STOP_SECONDS + START_SPARE * worker_seconds(logs, self._load.startup)

    @property
    def _least_runs(self) -> int:
        """How often each finalist runs again for that to tell anything."""
        confirm = self._config.confirm
        return min(LEAST_PAIRS, confirm.runs) if confirm.over_folds else 1

    def _fresh(self, log: TrialLog, logs: Sequence[TrialLog]) -> float:
        """What a trial takes longer on images whose outputs of frozen layers are not cached."""
        trial = self._config.trial(log.params)
        policy, views = POLICIES[trial.augment.policy](), trial.augment.num_views
        seen = [policy.renditions_of(epoch, views) for epoch in range(trial.train.last_epoch)]
        own = self._config.own
        values = [{**own, **each.params} for each in (log, *logs)]
        needs = [[each[key] for key in _CACHED_BY] for each in values]
        alike = [one for one, need in zip(logs, needs[1:], strict=True) if need == needs[0]]
        return fresh_seconds(log, alike, len(set(seen)))

    def _epochs_of(self, log: TrialLog) -> int:
        """The epochs of a trial that nothing stops."""
        return self._config.trial(log.params).train.last_epoch

    def _making(self, logs: Sequence[TrialLog], chosen: Sequence[TrialLog]) -> float:
        """The seconds for the refit; where there is none, for the soup."""
        return self._refitting(logs, chosen) or soup_seconds(chosen, self._config.confirm)

    def _refitting(self, logs: Sequence[TrialLog], chosen: Sequence[TrialLog]) -> float:
        """The seconds for the refit of any of the finalists; 0 if there is to be none."""
        if not self._is_refitted:
            return 0.0
        growth, start = self._load.of_all, worker_seconds(logs, self._load.startup)
        each = (
            refit_seconds(log, self._epochs_of(log), start, growth, self._fresh(log, logs))
            for log in chosen
        )
        return max(each, default=0.0)

    @property
    def _is_refitted(self) -> bool:
        confirm, wanted = self._config.confirm, self._config.refit.enabled
        return bool(confirm.top_k) and confirm.over_folds if wanted == "auto" else wanted

    def _end(self, logs: Iterable[TrialLog]) -> float:
        load = self._load
        by_epochs = slowest_epoch(logs) * load.tested / load.trained
        testing = load.pass_seconds or by_epochs
        return end_seconds(load.startup, testing)


def measure_load(
    config: SearchConfig, dataset: Dataset, watch: Stopwatch, concurrent: int, *, on_gpu: bool
) -> Load:
    """What the end of a search has to compute, measured before its first trial.

    Args:
        config: The search's.
        dataset: Its images.
        watch: How long it has taken.
        concurrent: How many trials run at once.
        on_gpu: Whether trials have a GPU: their epochs say nothing then of the test, which is the
            CPU's, as in a server.
    """
    tested = len(dataset.test)
    is_measured = config.budget.time is not None or on_gpu
    each = _seconds_an_image(config, dataset.test.files) if is_measured else 0.0
    trained = len(dataset.train) + len(dataset.val)
    of_all = trained / len(dataset.train)
    of_fold = of_all * (1 - 1 / FOLDS)
    return Load(watch.this_run, each * tested, tested, trained, concurrent, of_fold, of_all)


def undone(
    config: SearchConfig,
    chosen: Sequence[TrialLog],
    ledgers: Ledgers,
    *,
    refits: bool = False,
    lacks_soup: bool = False,
) -> str:
    """What there was no time for, in words; empty where all was done.

    Args:
        config: The search's.
        chosen: Its finalists.
        ledgers: All its trials.
        refits: Whether the winner was to be trained once more.
        lacks_soup: Whether their soup was left out.
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
        elif _is_cut(confirmed):
            left.append("the confirmation was cut short")
    if refits and (refitted is None or _is_cut(refitted)):
        left.append("the winner was not trained on all images")
    if lacks_soup:
        left.append("the finalists' weights were not averaged")
    return ", ".join(filter(None, left))


def _is_cut(ledger: Ledger) -> bool:
    """Whether not all of a ledger has run to its end."""
    return ledger.ended < ledger.asked or any(log.cut_short for log in ledger.trials.values())


def _seconds_an_image(config: SearchConfig, files: Sequence[Path]) -> float:
    """The seconds in which a test image is read and passes the largest network of the space.

    In one thread: several wait for each other beside a Ray that starts, up to 25 times as long. Of
    several cores, half are counted on.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = _pass_seconds(config) + _read_seconds(config, files)
    finally:
        torch.set_num_threads(threads)
    return alone / max(1.0, _CORES_FED * available_cores())


@torch.no_grad()
def _pass_seconds(config: SearchConfig) -> float:
    side, longest = _largest(config), 0.0
    count = min(_PROBED, max(1, _PROBED * _SIDE**2 // side**2))
    images = torch.zeros(count, 3, side, side).to(memory_format=torch.channels_last)
    for arch in config.archs:
        network = build(arch, num_classes=2, depth=0, weights="random").net.eval()
        network(images)  # the first takes longer
        times = []
        for _ in range(2):  # and others may be at work just now
            start = time.perf_counter()
            network(images)
            times.append(time.perf_counter() - start)
        longest = max(longest, min(times) / count)
    mirrored = any(possible(config.space, config.own, "predict.flips"))
    return longest * (2 if mirrored else 1)


def _read_seconds(config: SearchConfig, files: Sequence[Path]) -> float:
    """The seconds in which a file is read and decoded, as often as the test does."""
    some = files[:: max(1, len(files) // _PROBED)][:_PROBED]
    side = stored_side(_largest(config))
    start = time.perf_counter()
    for file in some:
        with suppress(ImageError, OSError):  # of which the test complains
            hash_file(file)
            read_square(file, side)
    return (time.perf_counter() - start) / max(1, len(some))


def _largest(config: SearchConfig) -> int:
    return int(max(possible(config.space, config.own, "data.image_size")))
