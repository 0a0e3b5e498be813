from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.event import listen

from tests.helpers.commands import DIGITS
from tests.helpers.examples import first_third
from tests.helpers.studies import ledger_of, reported, search_of
from trainable.config import ObjectiveConfig
from tune.base.errors import ConfigError, Halt
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.portfolio import open_search
from tune.strategy.scheduling import build_scheduler, next_trial
from tune.study.definition import read_definition
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.opening import check_study, reopen_cut_short
from tune.study.trial import Decision


@pytest.fixture(scope="module")
def config() -> SearchConfig:
    return load_config(DIGITS, [])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture
def reopen(config: SearchConfig, url: str) -> Callable[..., Ledger]:
    """Open the ledger of one search, again and again as after a kill."""
    return lambda: ledger_of(config, url)


def stored(url: str) -> list[optuna.trial.FrozenTrial]:
    trials = optuna.load_study(study_name="one", storage=url).trials
    return [trial for trial in trials if trial.state is not TrialState.WAITING]


def test_the_first_trial_is_the_one_the_search_starts_from(
    reopen: Callable[..., Ledger], config: SearchConfig
) -> None:
    log = reopen().begin()
    assert log.number == 0
    assert config.trial(log.params) == config.base


def test_searches_that_begin_together_share_a_new_storage(config: SearchConfig, url: str) -> None:
    """Optuna's own opening fails then: a table is there that was not when it looked."""
    names = [f"search-{k}" for k in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: ledger_of(config, url, name, name), names))
    assert sorted(optuna.get_all_study_names(url)) == names


def test_a_complete_trial_has_its_best_epochs_value(
    reopen: Callable[..., Ledger], url: str
) -> None:
    ledger = reopen()
    ledger.begin()
    for epoch, accuracy in enumerate((0.5, 0.9, 0.8), 1):
        ledger.add_epoch(0, epoch, reported(accuracy), Decision.GO_ON)
    ledger.end(0, TrialState.COMPLETE)
    (trial,) = stored(url)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.9)
    assert trial.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.8}


def test_among_equal_epochs_the_one_of_lower_loss_is_the_best(
    reopen: Callable[..., Ledger],
) -> None:
    ledger = reopen()
    ledger.begin()
    for epoch, loss in enumerate((0.3, 0.1, 0.2), 1):
        ledger.add_epoch(0, epoch, reported(0.9, loss), Decision.GO_ON)
    assert ledger.trials[0].best == 2


def test_a_stopped_trial_is_pruned_with_its_last_value(
    reopen: Callable[..., Ledger], url: str
) -> None:
    ledger = reopen()
    ledger.begin()
    ledger.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    ledger.add_epoch(0, 2, reported(0.3), Decision.STOP)
    ledger.end(0, TrialState.PRUNED)
    (trial,) = stored(url)
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.3)


@pytest.mark.parametrize("reached", [0, 2])
def test_a_broken_trial_has_a_reason_and_no_value(
    reopen: Callable[..., Ledger], url: str, reached: int
) -> None:
    ledger = reopen()
    ledger.begin()
    for epoch in range(1, reached + 1):
        ledger.add_epoch(0, epoch, reported(0.5), Decision.GO_ON)
    ledger.end(0, TrialState.FAIL, "DivergedError: no")
    (trial,) = stored(url)
    assert (trial.state, trial.value) == (TrialState.FAIL, None)
    assert reopen().trials[0].error == "DivergedError: no"


def test_what_was_noted_is_there_after_a_kill(reopen: Callable[..., Ledger]) -> None:
    before = reopen()
    for number in range(3):
        before.begin()
        before.add_epoch(
            number, 1, reported(0.1 * number), Decision.STOP if number == 1 else Decision.GO_ON
        )
    before.end(0, TrialState.COMPLETE)
    before.end(1, TrialState.PRUNED)
    after = reopen()
    assert after.trials == before.trials
    assert (after.ended, [log.number for log in after.unfinished]) == (2, [2])


def test_what_was_begun_goes_on_before_anything_new(reopen: Callable[..., Ledger]) -> None:
    before = reopen()
    begun = [before.begin() for _ in range(3)]
    before.end(1, TrialState.FAIL, "broken")
    after = reopen()
    assert [after.begin().number for _ in range(3)] == [0, 2, 3]
    assert [after.trials[n].params for n in (0, 2)] == [begun[n].params for n in (0, 2)]


def test_an_epoch_told_again_is_passed_over(reopen: Callable[..., Ledger]) -> None:
    before = reopen()
    before.begin()
    before.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    after = reopen()
    after.begin()
    after.add_epoch(0, 1, reported(0.6), Decision.STOP)
    after.add_epoch(0, 2, reported(0.7), Decision.GO_ON)
    assert [epoch.metrics["val_acc"] for epoch in after.trials[0].epochs] == [0.5, 0.7]
    assert after.decision(0, 1) is Decision.GO_ON
    assert after.decision(0, 3) is None


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("writes", first_third([0, 3, 8, 11, 1, 2, 4, 5, 6, 7, 9, 10]))
def test_killed_between_any_two_writes_it_goes_on_as_if_nothing_had_been(
    config: SearchConfig,
    reopen: Callable[..., Ledger],
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    def run(ledger: Ledger) -> None:
        while ledger.ended < 3:
            number = ledger.begin().number
            for epoch in (1, 2):
                ledger.add_epoch(
                    number, epoch, reported(0.1 * number + 0.01 * epoch), Decision.GO_ON
                )
            ledger.end(number, TrialState.COMPLETE)

    run(ledger_of(config, f"sqlite:///{tmp_path / 'whole.db'}"))
    ledger = reopen()
    with monkeypatch.context() as patch:
        kill_after(writes, patch)
        with pytest.raises(Killed):
            run(ledger)
    run(reopen())

    found, whole = stored(url), stored(f"sqlite:///{tmp_path / 'whole.db'}")
    assert [(t.params, t.value, t.state) for t in found] == [
        (t.params, t.value, t.state) for t in whole
    ]
    assert all(t.intermediate_values.keys() == {1, 2} for t in found)


def kill_after(writes: int, patch: pytest.MonkeyPatch) -> None:
    """End the process, as it were, after so many writes to Optuna's storage."""
    storage, left = optuna.storages._CachedStorage, [writes]
    for name in (
        "create_new_trial",
        "set_trial_param",
        "set_trial_intermediate_value",
        "set_trial_user_attr",
        "set_trial_state_values",
    ):
        real = getattr(storage, name)

        def write(*args: Any, real: Callable[..., Any] = real, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*args, **kwargs)

        patch.setattr(storage, name, write)


@pytest.mark.slow
def test_a_locked_storage_is_waited_for(reopen: Callable[..., Ledger], tmp_path: Path) -> None:
    ledger = reopen()
    ledger.begin()
    other = sqlite3.connect(tmp_path / "optuna.db", check_same_thread=False, isolation_level=None)
    other.execute("begin exclusive")
    threading.Timer(7, lambda: other.execute("rollback")).start()
    start = time.monotonic()
    ledger.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    assert time.monotonic() - start > 6
    ledger.end(0, TrialState.COMPLETE)
    assert reopen().trials == ledger.trials
    other.close()


@pytest.mark.slow
def test_a_storage_that_stays_away_halts_the_search(
    config: SearchConfig, url: str, tmp_path: Path
) -> None:
    opened = ledger_of(config, url)
    ledger = Ledger(opened.study, config, opened.plan, patience=1)
    ledger.begin()
    other = sqlite3.connect(tmp_path / "optuna.db", isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(Halt, match=r"cannot be reached: database is locked"):
        ledger.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    other.close()


def test_a_name_that_another_search_has_in_the_storage_is_refused(
    config: SearchConfig, reopen: Callable[..., Ledger], url: str
) -> None:
    reopen().begin()
    with pytest.raises(ConfigError, match="there is a search of this name"):
        ledger_of(config, url, identity="another")


def test_a_storage_that_cannot_be_used_is_told(config: SearchConfig) -> None:
    with pytest.raises(ConfigError, match=r"tracking\.study=sqlite:////nowhere/optuna\.db"):
        ledger_of(config, "sqlite:////nowhere/optuna.db")


def test_a_paused_trial_waits_until_it_is_taken_up_also_after_a_kill(
    reopen: Callable[..., Ledger], url: str
) -> None:
    before = reopen()
    for number in (0, 1):
        before.begin()
        before.add_epoch(number, 1, reported(0.5), Decision.PAUSE)
        before.release(number)
    for ledger in (before, reopen()):
        assert [log.number for log in ledger.paused] == [0, 1]
        assert ledger.running == []
        assert ledger.begin().number == 2
    after = reopen()
    assert after.go_on(1).number == 1
    assert [log.number for log in after.paused] == [0]
    assert [log.number for log in after.running] == [1]
    after.add_epoch(1, 2, reported(0.7), Decision.GO_ON)
    after.end(1, TrialState.COMPLETE)
    after.end(0, TrialState.PRUNED)
    states = {trial.number: (trial.state, trial.value) for trial in stored(url)[:2]}
    assert states == {0: (TrialState.PRUNED, 0.5), 1: (TrialState.COMPLETE, 0.7)}


def test_an_epoch_costs_the_same_however_many_there_were(reopen: Callable[..., Ledger]) -> None:
    """Counted in statements to the database."""
    ledger = reopen()
    ledger.begin()
    seen, statements = [], list[int]()
    engine = ledger.study._storage._backend.engine
    listen(engine, "before_cursor_execute", lambda *_: statements.append(1))
    for epoch in range(1, 201):
        statements.clear()
        ledger.add_epoch(0, epoch, reported(0.5), Decision.GO_ON)
        seen.append(len(statements))
    assert max(seen[100:]) <= max(seen[1:100]) <= 12


def test_the_study_alone_is_enough_to_go_on(config: SearchConfig, tmp_path: Path) -> None:
    home = SearchFolder("one", tmp_path)
    search = search_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    home.begin(search)
    ledger = open_search(search)
    ledger.begin()
    (home.folder / "search.json").unlink()
    found = home.load()
    assert found.identity == search.identity
    assert found.model_copy(update={"config": search.config}) == search
    tracking = search.config.tracking.model_copy(update={"study": None})
    assert found.config == search.config.model_copy(update={"tracking": tracking})
    shutil.rmtree(home.folder)
    again = open_search(home.load().model_copy(update={"config": search.config}))
    assert again.study.user_attrs == ledger.study.user_attrs
    assert [log.number for log in again.unfinished] == [0]
    assert again.trials[0].params == ledger.trials[0].params
    assert next_trial(again, build_scheduler(search.config)) is again.trials[0]


def test_the_study_holds_no_password(config: SearchConfig, url: str) -> None:
    uri = "http://user:s3cret@tracking:5000"
    tracking = config.tracking.model_copy(update={"uri": uri})
    ledger = ledger_of(config.model_copy(update={"tracking": tracking}), url)
    assert "s3cret" not in str(ledger.study.user_attrs)
    found = read_definition(url, "one")
    assert found is not None
    assert found.config.tracking.uri == "http://user@tracking:5000"


@pytest.mark.parametrize(("metric", "best", "value"), [("val_acc", 1, 0.9), ("val_loss", 2, 0.1)])
def test_the_objective_says_which_epoch_is_best(
    config: SearchConfig, url: str, metric: str, best: int, value: float
) -> None:
    objective = ObjectiveConfig(metric=metric)
    ledger = ledger_of(config.model_copy(update={"objective": objective}), url)
    ledger.begin()
    ledger.add_epoch(0, 1, reported(0.9, 0.3), Decision.GO_ON)
    ledger.add_epoch(0, 2, reported(0.8, 0.1), Decision.GO_ON)
    assert ledger.trials[0].best == best
    ledger.end(0, TrialState.COMPLETE)
    study = optuna.load_study(study_name="one", storage=url)
    assert study.best_value == value
    assert study.direction.name == ("MAXIMIZE" if metric == "val_acc" else "MINIMIZE")


@pytest.mark.slow
def test_a_study_that_is_gone_is_told_and_not_made_anew(
    config: SearchConfig, tmp_path: Path
) -> None:
    path = tmp_path / "optuna.db"
    search = search_of(config, f"sqlite:///{path}")
    with pytest.raises(ConfigError, match="has no study of them any more: restore it"):
        check_study(search)
    assert not path.exists(), "looking makes nothing"
    open_search(search)
    check_study(search)
    optuna.delete_study(study_name="one", storage=f"sqlite:///{path}")
    with pytest.raises(ConfigError, match="its trials have run"):
        check_study(search)


def test_of_epochs_that_are_equal_the_first_is_the_best(reopen: Callable[..., Ledger]) -> None:
    ledger = reopen()
    ledger.begin()
    for epoch, accuracy in enumerate((0.5, 0.9, 0.9), 1):
        ledger.add_epoch(0, epoch, reported(accuracy), Decision.GO_ON)
        assert ledger.trials[0].best == min(epoch, 2)


def test_a_trial_that_was_cut_short_goes_on_once_there_is_time(
    config: SearchConfig, url: str
) -> None:
    """It has the state of a stopped one meanwhile, and then its epochs, number and place."""
    search = search_of(config, url)
    before = open_search(search)
    before.begin()
    before.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    before.begin()
    before.begin()
    before.add_epoch(2, 1, reported(0.4), Decision.PAUSE)
    before.end(0, TrialState.PRUNED, cut_short=True)
    before.end(1, TrialState.FAIL, "the time was up", cut_short=True)
    before.end(2, TrialState.PRUNED, cut_short=True)
    before.begin()
    before.end(3, TrialState.FAIL, "diverged")
    states = [(trial.state, trial.value) for trial in stored(url)]
    failed = (TrialState.FAIL, None)
    assert states == [(TrialState.PRUNED, 0.5), failed, (TrialState.PRUNED, 0.4), failed]
    assert [log.cut_short for log in open_search(search).trials.values()] == [True] * 3 + [False]

    reopen_cut_short(search, "one")
    after = open_search(search)
    assert [log.number for log in after.unfinished] == [0, 1, 2]
    assert [log.number for log in after.paused] == [2]
    assert not any(log.cut_short for log in after.trials.values())
    assert after.trials[1].error is None
    assert [after.begin().number, after.begin().number] == [0, 1]
    after.add_epoch(0, 2, reported(0.7), Decision.GO_ON)
    after.end(0, TrialState.COMPLETE)
    first = stored(url)[0]
    assert (first.state, first.value) == (TrialState.COMPLETE, 0.7)
    assert first.intermediate_values == {1: 0.5, 2: 0.7}


def test_killed_between_the_mark_of_a_cut_trial_and_its_end_it_goes_on(
    config: SearchConfig, url: str
) -> None:
    search = search_of(config, url)
    before = open_search(search)
    before.begin()
    before.add_epoch(0, 1, reported(0.5), Decision.GO_ON)
    before._handles[0].set_user_attr("cut_short", True)
    assert not open_search(search).trials[0].cut_short
    reopen_cut_short(search, "one")
    after = open_search(search)
    after.begin()
    after.end(0, TrialState.COMPLETE)
    assert not open_search(search).trials[0].cut_short
