from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from optuna.trial import TrialState
from rich.console import Console

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial
from tests.helpers.studies import search_of
from tune.config.loading import load_config
from tune.config.sections import BudgetConfig, RefitConfig
from tune.engine.allowance import Allowance, undone
from tune.engine.reruns import Reruns
from tune.engine.stopping import TimeBudget
from tune.strategy.confirmation import finalists, ranked, read_confirmation
from tune.strategy.portfolio import open_search
from tune.strategy.refit import open_refit
from tune.study.ledger import Ledger, Ledgers
from tune.study.search import Search
from tune.study.trial import TrialLog
from tune.tracking.writer import RecordWriter


@pytest.fixture
def search(tmp_path: Path) -> Search:
    words = ["confirm.top_k=1", "confirm.seeds=2", "budget.time=60s", "budget.num_samples=2"]
    return search_of(load_config(DIGITS, words), f"sqlite:///{tmp_path / 'optuna.db'}")


@pytest.fixture
def searched(search: Search) -> Ledger:
    ledger = open_search(search)
    for score in (0.9, 0.8):
        add_trial(ledger, [score] * 6)
    return ledger


def confirm(search: Search, searched: Ledger, lack: str | None, runs: int) -> tuple[Any, str]:
    """The confirmation, of which as many runs are done as there is time for."""
    chosen = finalists(searched.trials.values(), 1)
    allowance = cast("Allowance", SimpleNamespace(lacks_confirmation=lambda *_: lack))
    writer, stream = cast("RecordWriter", SimpleNamespace(ledgers=[])), io.StringIO()

    def run(ledger: Ledger, *_: object) -> None:
        for _ in range(runs):
            add_trial(ledger, [0.7])

    console = Console(file=stream)
    reruns = Reruns(search, searched, allowance, writer, run, console)
    return reruns.confirm(chosen), stream.getvalue()


def test_a_confirmation_that_there_is_no_time_for_is_skipped_in_a_line(
    search: Search, searched: Ledger
) -> None:
    confirmed, told = confirm(search, searched, "about 90 s, and 4 s are left", runs=2)
    assert confirmed is None
    assert told == "confirm  skipped: about 90 s, and 4 s are left\n"
    chosen = finalists(searched.trials.values(), 1)
    assert undone(search.config, chosen, Ledgers(searched)) == "the finalists were not confirmed"


@pytest.mark.slow
def test_one_that_was_begun_is_not_forgotten_for_lack_of_time(
    search: Search, searched: Ledger
) -> None:
    confirm(search, searched, None, runs=1)
    confirmed, told = confirm(search, searched, "no time", runs=0)
    assert told == ""
    assert [log.state for log in confirmed.trials.values()] == [TrialState.COMPLETE]
    chosen = finalists(searched.trials.values(), 1)
    assert (
        undone(search.config, chosen, Ledgers(searched, confirmed))
        == "the confirmation was cut short"
    )
    confirmed, _ = confirm(search, searched, None, runs=1)
    assert undone(search.config, chosen, Ledgers(searched, confirmed)) == ""


@pytest.fixture
def on_folds(tmp_path: Path) -> Search:
    words = ["confirm.top_k=1", "confirm.folds=2", "refit.enabled=auto", "budget.num_samples=1"]
    return search_of(load_config(DIGITS, words), f"sqlite:///{tmp_path / 'optuna.db'}")


def refit(search: Search, searched: Ledger, lack: str | None = None) -> tuple[Any, list[Ledger]]:
    """The refit of a search whose finalist has run on folds."""
    _, told = confirm(search, searched, None, runs=2)
    assert told == "confirm  on 2 folds each\n"
    chosen = finalists(searched.trials.values(), 1)
    confirmed = read_confirmation(search, chosen)
    assert confirmed is not None
    allowance = cast("Allowance", SimpleNamespace(lacks_refit=lambda *_: lack))
    writer, stream = cast("RecordWriter", SimpleNamespace(ledgers=[])), io.StringIO()

    def run(ledger: Ledger, *_: object) -> None:
        add_trial(ledger, [0.7])

    order = ranked(chosen, confirmed.trials.values())
    console = Console(file=stream)
    found = Reruns(search, searched, allowance, writer, run, console).refit(order)
    return found, writer.ledgers


def test_the_winner_on_folds_is_trained_again_on_all_images(on_folds: Search) -> None:
    searched = open_search(on_folds)
    add_trial(searched, [0.7, 0.9])
    found, recorded = refit(on_folds, searched)
    assert recorded == [found]
    (log,) = found.trials.values()
    assert (log.params["data.fold"], log.params["train.stop_after"]) == ("all", 6)


def test_a_refit_that_there_is_no_time_for_is_skipped(on_folds: Search) -> None:
    searched = open_search(on_folds)
    add_trial(searched, [0.7, 0.9])
    assert refit(on_folds, searched, "no time") == (None, [])
    config = on_folds.config.model_copy(update={"budget": BudgetConfig(time=60)})
    chosen = finalists(searched.trials.values(), 1)
    confirmed = read_confirmation(on_folds, chosen)
    ledgers = Ledgers(searched, confirmed)
    assert undone(config, chosen, ledgers, refits=True) == (
        "the winner was not trained on all images"
    )


def test_what_there_was_no_time_for_is_told_of_soup_and_refit_too(on_folds: Search) -> None:
    searched = open_search(on_folds)
    add_trial(searched, [0.7, 0.9])
    config = on_folds.config.model_copy(update={"budget": BudgetConfig(time=60, num_samples=1)})
    chosen = finalists(searched.trials.values(), 1)
    confirm(on_folds, searched, None, runs=2)
    confirmed = read_confirmation(on_folds, chosen)
    assert confirmed is not None
    begun = open_refit(on_folds, ranked(chosen, confirmed.trials.values())[0])
    assert (begun.ended, begun.asked) == (0, 1), "and killed before its first epoch"
    ledgers = Ledgers(searched, confirmed, begun)
    assert undone(config, chosen, ledgers, refits=True) == (
        "the winner was not trained on all images"
    )
    assert undone(config, chosen, ledgers, lacks_soup=True) == (
        "the finalists' weights were not averaged"
    )


def test_after_seeds_there_is_no_refit_by_default(search: Search, searched: Ledger) -> None:
    confirmed, _ = confirm(search, searched, None, runs=2)
    order = ranked(finalists(searched.trials.values(), 1), confirmed.trials.values())
    nothing: Any = None
    assert Reruns(search, searched, nothing, nothing, nothing, nothing).refit(order) is None


def test_the_finalists_runs_leave_a_refit_its_time(search: Search, searched: Ledger) -> None:
    chosen, left = finalists(searched.trials.values(), 1), list[float]()

    def for_runs(_: Ledger, finalists: Sequence[TrialLog] = ()) -> float:
        return 50.0 - 20.0 * len(finalists)

    given = {"lacks_confirmation": lambda *_: None, "lacks_refit": lambda *_: None}
    allowance = cast("Allowance", SimpleNamespace(for_runs=for_runs, **given))
    writer = cast("RecordWriter", SimpleNamespace(ledgers=[]))
    wanted = search.config.model_copy(update={"refit": RefitConfig(enabled=True)})
    refitting = search.model_copy(update={"config": wanted})

    def run(_: Ledger, __: object, budget: TimeBudget) -> None:
        left.append(budget.remaining())

    reruns = Reruns(refitting, searched, allowance, writer, run, Console(file=io.StringIO()))
    reruns.confirm(chosen)
    reruns.refit(ranked(chosen, []))
    assert left == pytest.approx([30, 50], abs=1)
