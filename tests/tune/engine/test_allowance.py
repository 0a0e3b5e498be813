from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.images import write_folders
from tests.helpers.studies import ledger_in_memory, reported
from trainable.data.datasets import load_dataset
from trainable.data.decoding.image_file import ImageError
from trainable.data.sizes import stored_side
from trainable.network.cut_network import build
from tune.base.errors import Halt
from tune.config.loading import load_config
from tune.engine.allowance import Allowance, Load, measure_load
from tune.strategy.budget import START_SECONDS, START_SPARE, STOP_SECONDS
from tune.strategy.choice import Choice
from tune.strategy.confirmation import finalists
from tune.study import stopwatch
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.stopwatch import Stopwatch
from tune.study.trial import Decision

BETWEEN = STOP_SECONDS + START_SPARE * START_SECONDS
LOAD = Load(startup=7.0, pass_seconds=0.0, tested=100, trained=400, concurrent=2)


class Bench:
    """A search with a time budget, and a clock that is set by hand."""

    def __init__(self, tmp_path: Path, *words: str, load: Load = LOAD) -> None:
        self.now = 0.0
        self.config = load_config(DIGITS, words)
        self.ledger: Ledger = ledger_in_memory(self.config)
        self.watch = Stopwatch(SearchFolder("one", tmp_path), lambda: self.now)
        self.allowance = Allowance(Choice(self.config), self.watch, load)

    def trial(self, epochs: int, seconds: float, state: TrialState | None = None) -> None:
        number = self.ledger.begin().number
        for epoch in range(1, epochs + 1):
            result = reported(0.5) | {"epoch_seconds": seconds}
            self.ledger.add_epoch(number, epoch, result, Decision.GO_ON)
        if state is not None:
            self.ledger.end(number, state)

    @property
    def for_trials(self) -> float:
        return self.allowance.for_trials(self.ledger)


def test_without_a_budget_there_is_no_end_of_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.now = 1e9
    assert bench.for_trials == math.inf
    assert bench.allowance.lacks_confirmation(bench.ledger, []) is None


def test_the_first_epoch_is_waited_for_within_the_tolerance(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "budget.time=100s", "confirm.top_k=0")
    assert bench.for_trials == 100 + 10 + 15
    bench.trial(epochs=1, seconds=4.0)
    assert bench.for_trials == 100 - 6 - 2 * (4.0 * 100 / 400)


def test_a_start_that_took_most_of_the_budget_is_waited_for_once_more(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "budget.time=20s", load=Load(18.0, 0.0, 100, 400, 2))
    assert bench.for_trials == 20 + 2 + 15 + 18


def test_time_is_kept_for_the_test_images(tmp_path: Path) -> None:
    """Measured, where epochs tell too little: they read what an earlier search has stored."""
    load = Load(startup=1.0, pass_seconds=20.0, tested=100, trained=400, concurrent=2)
    bench = Bench(tmp_path, "budget.time=200s", "confirm.top_k=0", load=load)
    bench.trial(epochs=1, seconds=0.1)
    assert bench.for_trials == 200 - 6 - 2 * 20


def test_time_is_kept_for_the_confirmation_if_that_leaves_most_for_the_search(
    tmp_path: Path,
) -> None:
    words = ("confirm.top_k=2", "confirm.seeds=2", "confirm.soup=false", "train.epochs=6")
    confirming = 3 + 2 * 6 * 4.0  # two rounds of two runs at once
    end = 6 + 2 * (4.0 * 100 / 400)
    long = Bench(tmp_path, "budget.time=600s", *words)
    long.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    long.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    assert long.for_trials == pytest.approx(600 - end - confirming - BETWEEN)
    short = Bench(tmp_path, "budget.time=60s", *words)
    short.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    short.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    assert short.for_trials == pytest.approx(60 - end)
    chosen = list(short.ledger.trials.values())
    short.now = 40.0
    lack = short.allowance.lacks_confirmation(short.ledger, chosen)
    assert lack == "about 27 s, and 12 s of the time budget remain"
    assert long.allowance.lacks_confirmation(long.ledger, chosen) is None


@pytest.mark.parametrize("refit", ["refit.enabled=true", "refit.enabled=false"])
def test_what_is_kept_for_the_confirmation_suffices_when_the_trials_have_stopped(
    refit: str, tmp_path: Path
) -> None:
    """They stop a second or two after the time for them is up, and what follows starts late."""
    words = ("confirm.top_k=2", "confirm.seeds=2", "confirm.soup=false", "train.epochs=6", refit)
    bench = Bench(tmp_path, "budget.time=600s", *words)
    for _ in range(2):
        bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    bench.now = bench.for_trials + 1.5 + 1.5
    chosen = list(bench.ledger.trials.values())
    whole = 3 + 2 * 6 * 4.0
    assert bench.allowance.for_runs(bench.ledger, chosen) >= whole
    assert bench.allowance.lacks_confirmation(bench.ledger, chosen) is None


def test_a_confirmation_that_is_cut_short_leaves_the_refit_its_time(tmp_path: Path) -> None:
    words = ("confirm.top_k=1", "confirm.seeds=9", "train.epochs=6", "refit.enabled=true")
    bench = Bench(tmp_path, "budget.time=300s", *words)
    bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    chosen = list(bench.ledger.trials.values())
    bench.now = bench.allowance.for_runs(bench.ledger, chosen) + 1.5
    assert bench.allowance.lacks_refit(bench.ledger, chosen[0]) is None


def test_time_is_kept_for_workers_that_start_as_slowly_as_the_first(tmp_path: Path) -> None:
    """Of a trial that an earlier run began, no more than twice the command's own start."""
    words = ("confirm.top_k=1", "confirm.seeds=1", "confirm.soup=false", "train.epochs=6")
    kept = []
    for wait in (0, 5_000, 3_600_000):
        bench = Bench(tmp_path / str(wait), "budget.time=300s", *words)
        bench.trial(epochs=6, seconds=2.0, state=TrialState.COMPLETE)
        log = bench.ledger.trials[0]
        log.started = log.epochs[0].at - 2_000 - wait
        kept.append(300 - 6 - 2 * (2.0 * 100 / 400) - STOP_SECONDS - bench.for_trials)
    starts = (3, 5, 2 * 7)
    assert kept == [6 * 2.0 + (1 + START_SPARE) * start for start in starts]


def test_the_finalists_run_again_if_there_is_time_for_one_run_of_each(tmp_path: Path) -> None:
    words = ("confirm.top_k=2", "confirm.seeds=2", "confirm.soup=false", "train.epochs=6")
    bench = Bench(tmp_path, "budget.time=300s", *words)
    for _ in range(2):
        bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    chosen = list(bench.ledger.trials.values())
    once, end = 3 + 6 * 4.0, 6 + 2 * (4.0 * 100 / 400)
    bench.now = 300 - end - once - 1
    assert bench.allowance.lacks_confirmation(bench.ledger, chosen) is None
    bench.now += 2
    lack = bench.allowance.lacks_confirmation(bench.ledger, chosen)
    assert lack == "about 27 s, and 26 s of the time budget remain"


def test_as_long_as_no_trial_has_completed_no_time_is_kept_to_confirm_it(tmp_path: Path) -> None:
    words = ("confirm.top_k=2", "confirm.seeds=2", "train.epochs=6")
    bench = Bench(tmp_path, "budget.time=300s", *words)
    bench.trial(epochs=5, seconds=4.0)
    assert bench.for_trials == pytest.approx(300 - 6 - 2 * (4.0 * 100 / 400))


def test_the_first_epoch_of_a_cold_cache_is_not_taken_for_the_others(tmp_path: Path) -> None:
    words = ("confirm.top_k=1", "confirm.seeds=2", "confirm.soup=false", "train.epochs=6")
    bench = Bench(tmp_path, "budget.time=100s", *words)
    number = bench.ledger.begin().number
    for epoch, seconds in enumerate((20.0, 1.0, 1.0, 1.0, 1.0, 1.0), 1):
        result = reported(0.5) | {"epoch_seconds": seconds}
        bench.ledger.add_epoch(number, epoch, result, Decision.GO_ON)
    bench.ledger.end(number, TrialState.COMPLETE)
    confirming = 3 + 6 * 1.0
    ending = 6 + 2 * (20.0 * 100 / 400)
    assert bench.for_trials == pytest.approx(100 - ending - confirming - BETWEEN)


def test_the_soup_is_left_out_where_there_is_no_time_for_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "budget.time=60s", "confirm.top_k=1", "confirm.seeds=2")
    bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    chosen = list(bench.ledger.trials.values())
    assert bench.allowance.lacks_soup(bench.ledger, chosen) is None
    bench.now = 47.0
    assert bench.allowance.lacks_soup(bench.ledger, chosen) is not None
    without = Bench(tmp_path / "without", "budget.time=60s", "confirm.soup=false")
    without.now = 90.0
    assert without.allowance.lacks_soup(without.ledger, chosen) is None, "none was asked for"


def test_what_was_cut_short_is_not_confirmed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "budget.time=600s")
    bench.trial(epochs=1, seconds=0.1, state=TrialState.PRUNED)
    chosen = list(bench.ledger.trials.values())
    lack = bench.allowance.lacks_confirmation(bench.ledger, chosen)
    assert lack == "no trial has finished its epochs"


def test_the_time_of_former_runs_counts(tmp_path: Path) -> None:
    first = Bench(tmp_path, "budget.time=60s")
    with first.watch.noting():
        first.now = 40.0
    again = Bench(tmp_path, "budget.time=60s")
    again.now = 5.0
    assert again.watch.elapsed == 45.0
    assert again.watch.this_run == 5.0
    assert again.allowance.remaining == 15.0


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition comes true in time."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    return condition()


def test_the_time_is_stored_whatever_runs_for_it_may_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while nothing asks for it: in the start, the test, the registering and the report."""
    monkeypatch.setattr(stopwatch, "_NOTE_SECONDS", 0.01)
    bench, home = Bench(tmp_path), SearchFolder("one", tmp_path)
    with suppress(Halt), bench.watch.noting():
        bench.now = 40.0
        assert eventually(lambda: home.elapsed == 40)
        bench.now = 50.0
        assert eventually(lambda: home.elapsed == 50)
        bench.now = 50.5
        raise Halt("the disk is full")
    assert home.elapsed == 50.5
    bench.now = 99.0
    assert not eventually(lambda: home.elapsed == 99, seconds=0.05), "it has ended"


@pytest.mark.parametrize("content", ["", "[]", "-3", "NaN", "null", '"x"'])
def test_a_damaged_note_of_the_time_is_none(content: str, tmp_path: Path) -> None:
    home = SearchFolder("one", tmp_path)
    home.folder.mkdir(parents=True)
    (home.folder / "elapsed.json").write_text(content)
    assert home.elapsed == 0


def test_the_end_is_measured_only_where_there_is_a_budget(tmp_path: Path) -> None:
    words = ("data.image_size=16", "data.limit=60", "model.weights=random")
    config = load_config(DIGITS, words)
    dataset, watch = load_dataset(config.data), Stopwatch(SearchFolder("one", tmp_path))
    assert measure_load(config, dataset, watch, 2, on_gpu=False).pass_seconds == 0
    limited = load_config(DIGITS, (*words, "budget.time=60s"))
    load = measure_load(limited, dataset, watch, 2, on_gpu=False)
    assert 0 < load.pass_seconds < 60
    assert (load.tested, load.trained) == (len(dataset.test), 60)
    assert measure_load(config, dataset, watch, 2, on_gpu=True).pass_seconds > 0, "by the CPU"


FOLDS = (
    "confirm.top_k=2",
    "confirm.folds=5",
    "refit.enabled=auto",
    "confirm.soup=false",
    "train.epochs=6",
)
GROWN = Load(7.0, 0.0, 100, 400, 2, of_fold=1.2, of_all=1.5)


def test_time_is_kept_for_runs_on_folds_and_for_the_refit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "budget.time=1500s", *FOLDS, load=GROWN)
    for _ in range(2):
        bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    confirming = 3 + 1.2 * 5 * 6 * 4.0  # five rounds of two runs at once
    refitting = 3 + 1.5 * 6 * 4.0
    end = 6 + 2 * (4.0 * 100 / 400)
    assert bench.for_trials == pytest.approx(1500 - end - confirming - refitting - 2 * BETWEEN)


def test_time_is_kept_for_the_refit_or_for_the_soup(tmp_path: Path) -> None:
    words = ("budget.time=600s", "confirm.top_k=1", "train.epochs=6")
    kept = []
    for stops, more in ((2, "refit.enabled=true"), (1, "refit.enabled=false")):
        bench = Bench(tmp_path / str(stops), *words, more, load=GROWN)
        bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
        confirming, end = 3 + 6 * 4.0, 6 + 2 * (4.0 * 100 / 400)
        kept.append(600 - end - confirming - stops * BETWEEN - bench.for_trials)
    assert kept == pytest.approx([3 + 1.5 * 6 * 4.0, 3 * 0.5 * 4.0])


@pytest.mark.parametrize(
    ("seconds", "kept"), [(217, 27 + 39 + 2 * BETWEEN), (215, 39 + BETWEEN), (100, 0)]
)
def test_where_not_all_can_be_kept_it_is_the_refits(
    seconds: int, kept: float, tmp_path: Path
) -> None:
    words = (f"budget.time={seconds}s", "confirm.top_k=1", "train.epochs=6", "refit.enabled=true")
    bench = Bench(tmp_path, *words, load=GROWN)
    bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    end = 6 + 2 * (4.0 * 100 / 400)
    assert bench.for_trials == pytest.approx(seconds - end - kept)
    runs = bench.allowance.for_runs(bench.ledger)
    chosen = list(bench.ledger.trials.values())
    assert bench.allowance.for_runs(bench.ledger, chosen) == pytest.approx(runs - 39 - BETWEEN)


def test_without_finalists_time_is_kept_for_the_refit(tmp_path: Path) -> None:
    words = ("budget.time=600s", "confirm.top_k=0", "train.epochs=6", "refit.enabled=true")
    bench = Bench(tmp_path, *words, load=GROWN)
    bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    end = 6 + 2 * (4.0 * 100 / 400)
    assert bench.for_trials == pytest.approx(600 - end - 39 - BETWEEN)
    assert bench.allowance.after_trials(bench.ledger) == pytest.approx(end + 39)


def test_runs_on_folds_begin_if_there_is_time_for_some(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "budget.time=300s", *FOLDS, load=GROWN)
    for _ in range(2):
        bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    chosen = list(bench.ledger.trials.values())
    some, refitting = 3 + 1.2 * 3 * 6 * 4.0, 3 + 1.5 * 6 * 4.0
    bench.now = 300 - 8 - some - BETWEEN - refitting - 1
    assert bench.allowance.lacks_confirmation(bench.ledger, chosen) is None
    bench.now += 2
    assert bench.allowance.lacks_confirmation(bench.ledger, chosen) is not None


def test_the_refit_is_left_out_where_there_is_no_time_for_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "budget.time=100s", *FOLDS, load=GROWN)
    bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    (winner,) = bench.ledger.trials.values()
    assert bench.allowance.lacks_refit(bench.ledger, winner) is None
    bench.now = 55.0
    lack = bench.allowance.lacks_refit(bench.ledger, winner)
    assert lack == "about 39 s, and 37 s of the time budget remain"


def test_time_is_kept_for_a_refit_of_any_finalist(tmp_path: Path) -> None:
    words = ("confirm.top_k=2", "confirm.seeds=2", "train.epochs=6", "refit.enabled=true")
    bench = Bench(tmp_path, "budget.time=600s", *words)
    for seconds in (1.0, 6.0):  # of equals, the first is the better one
        bench.trial(epochs=6, seconds=seconds, state=TrialState.COMPLETE)
    chosen = finalists(bench.ledger.trials.values(), 2)
    assert [log.number for log in chosen] == [0, 1]
    bench.now = bench.allowance.for_runs(bench.ledger, chosen)
    assert bench.allowance.lacks_refit(bench.ledger, chosen[1]) is None


def test_what_follows_the_trials_is_known_without_a_budget_too(tmp_path: Path) -> None:
    words = ("confirm.top_k=2", "confirm.seeds=2", "confirm.soup=false", "train.epochs=6")
    bench = Bench(tmp_path, *words)
    bench.trial(epochs=1, seconds=2.0)
    end = 6 + 2 * (2.0 * 100 / 400)
    assert bench.allowance.after_trials(bench.ledger) == 3 + 1 * (2.0 * 6) + end
    bench.trial(epochs=1, seconds=2.0)
    assert bench.allowance.after_trials(bench.ledger) == 3 + 2 * (2.0 * 6) + end
    assert bench.allowance.after_runs(bench.ledger) == end
    chosen = list(bench.ledger.trials.values())
    assert bench.allowance.after_runs(bench.ledger, chosen) == end
    soup = Bench(tmp_path / "soup", "confirm.top_k=1", "confirm.seeds=2")
    soup.trial(epochs=1, seconds=2.0)
    runs = list(soup.ledger.trials.values())
    assert soup.allowance.after_runs(soup.ledger, runs) == end + 3 * 0.5 * 2.0


def test_the_pass_of_an_image_is_timed_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def built(*args: Any, **options: Any) -> Any:
        used.append(torch.get_num_threads())
        return build(*args, **options)

    monkeypatch.setattr("tune.engine.allowance.build", built)
    config = load_config(DIGITS, ["budget.time=60s"])
    dataset = load_dataset(config.data)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        watch = Stopwatch(SearchFolder("one", Path("unused")), lambda: 0.0)
        measure_load(config, dataset, watch, 1, on_gpu=False)
        assert (used, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_where_not_all_is_kept_the_finalists_run_again_once(tmp_path: Path) -> None:
    words = ("confirm.top_k=2", "confirm.seeds=4", "confirm.soup=false", "train.epochs=6")
    bench = Bench(tmp_path, "budget.time=300s", *words)
    for _ in range(2):
        bench.trial(epochs=6, seconds=4.0, state=TrialState.COMPLETE)
    whole, once = 3 + 4 * 6 * 4.0, 3 + 6 * 4.0
    assert once < 300 / 8 < whole
    assert bench.for_trials == pytest.approx(300 - 8 - once - BETWEEN)


def test_time_is_kept_for_the_finalists_by_the_rule_of_the_search(tmp_path: Path) -> None:
    """The cheaper one of two that are as good, which takes longer to train."""
    words = ("confirm.top_k=1", "confirm.soup=false", "train.epochs=6", "budget.time=600s")
    cost = ("strategy.cost=size", "space.model.arch=[resnet18, resnet50]", "model.weights=random")
    bench = Bench(tmp_path, *words, *cost)
    costs = {"resnet18": 45.0, "resnet50": 95.0}
    bench.allowance = Allowance(Choice(bench.config, costs), bench.watch, LOAD)
    while {log.params["model.arch"] for log in bench.ledger.trials.values()} != costs.keys():
        number = len(bench.ledger.trials)
        bench.trial(epochs=0, seconds=0.0)
        dear = bench.ledger.trials[number].params["model.arch"] == "resnet50"
        for epoch in range(1, 7):
            result = reported(0.505 if dear else 0.5) | {"epoch_seconds": 1.0 if dear else 9.0}
            bench.ledger.add_epoch(number, epoch, result, Decision.GO_ON)
        bench.ledger.end(number, TrialState.COMPLETE)
    end = 6 + 2 * (9.0 * 100 / 400)
    assert bench.for_trials == pytest.approx(600 - end - (3 + 6 * 9.0) - BETWEEN)


def test_a_trial_that_is_to_stop_early_is_not_expected_to_go_on(tmp_path: Path) -> None:
    words = ("confirm.top_k=1", "train.epochs=500", "train.stop_after=5", "refit.enabled=true")
    bench = Bench(tmp_path, "budget.time=10m", "confirm.soup=false", *words)
    bench.trial(epochs=5, seconds=1.0, state=TrialState.COMPLETE)
    confirming, refitting = 3 + 5 * 1.0, 3 + 5 * 1.0
    assert bench.for_trials == pytest.approx(
        600 - 6 - 2 * (1.0 * 100 / 400) - confirming - refitting - 2 * BETWEEN
    )


@pytest.mark.parametrize("folds", [0, 5])
@pytest.mark.parametrize(("policy", "fresh"), [("flip_crop", 3), ("none", 1)])
def test_what_an_earlier_trial_had_cached_for_the_winner_is_computed_again(
    policy: str, fresh: int, folds: int, tmp_path: Path
) -> None:
    """Each view of a random policy in its first epoch; a trial of another depth says nothing."""
    words = ("augment.num_views=3", "train.epochs=6", "confirm.soup=false", "budget.time=600s")
    over = (f"confirm.folds={folds}", "confirm.top_k=1", f"refit.enabled={not folds}")
    bench = Bench(tmp_path, *words, *over)
    bench.trial(epochs=1, seconds=90.0, state=TrialState.PRUNED)
    bench.trial(epochs=1, seconds=20.0, state=TrialState.PRUNED)
    bench.trial(epochs=6, seconds=1.0, state=TrialState.COMPLETE)
    for log, depth in zip(bench.ledger.trials.values(), (2, 1, 1), strict=True):
        log.params |= {"model.unfreeze_depth": depth, "augment.policy": policy}
    winner, allowance = bench.ledger.trials[2], bench.allowance
    rounds = 2 if folds else 1  # three runs on folds, two at once, are the least
    end = 6 + 2 * (90.0 * 100 / 400)
    bench.now = 600 - end - (3 + rounds * 6 * 1.0 + fresh * (20.0 - 1.0))
    for late in (0, 1):
        bench.now += late
        lack = (
            allowance.lacks_confirmation(bench.ledger, [winner])
            if folds
            else allowance.lacks_refit(bench.ledger, winner)
        )
        assert (lack is not None) is bool(late)


@pytest.mark.parametrize(
    ("words", "cores", "seconds"),
    [
        ((), 1, 1 / 16),
        ((), 2, 1 / 16),
        ((), 16, 1 / 16 / 8),
        (("data.mirror=true", "space.predict.flips=[true, false]"), 1, 2 / 16),
    ],
)
def test_a_pass_is_that_of_mirrored_images_too_by_half_of_the_cores(
    words: tuple[str, ...], cores: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr("tune.engine.allowance.time", clock)
    monkeypatch.setattr("tune.engine.allowance.available_cores", lambda: cores)
    monkeypatch.setattr("tune.engine.allowance._read_seconds", lambda *_: 0.0)
    config = load_config(DIGITS, ["budget.time=60s", "model.weights=random", *words])
    dataset = load_dataset(config.data)
    watch = Stopwatch(SearchFolder("one", Path("unused")), lambda: 0.0)
    load = measure_load(config, dataset, watch, 1, on_gpu=False)
    assert load.pass_seconds == pytest.approx(seconds * len(dataset.test))


def test_a_pass_is_that_of_the_largest_images_and_reads_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides, read = list[int](), list[tuple[str, int]]()

    def built(*args: Any, **options: Any) -> Any:
        network = build(*args, **options)
        network.net.register_forward_pre_hook(lambda _, images: sides.append(images[0].shape[-1]))
        return network

    def read_square(file: Path, side: int) -> None:
        read.append((file.name, side))
        raise ImageError(f"{file} cannot be read")

    monkeypatch.setattr("tune.engine.allowance.build", built)
    monkeypatch.setattr("tune.engine.allowance.read_square", read_square)
    write_folders(tmp_path / "images", ["a", "b"], 40, side=64)
    words = ["data.source=image_folder", f"data.root={tmp_path / 'images'}"]
    sizes = ["data.image_size=16", "space.data.image_size=[16, 48]"]
    config = load_config(DIGITS, [*words, *sizes, "budget.time=60s", "model.weights=random"])
    dataset = load_dataset(config.data)
    watch = Stopwatch(SearchFolder("one", tmp_path), lambda: 0.0)
    load = measure_load(config, dataset, watch, 1, on_gpu=False)
    assert load.pass_seconds > 0
    assert set(sides) == {48}
    assert 1 <= len(read) <= 2 * 16
    assert {side for _, side in read} == {stored_side(48)}
