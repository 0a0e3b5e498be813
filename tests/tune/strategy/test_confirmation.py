from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from tests.helpers.commands import DIGITS
from tests.helpers.studies import search_of
from trainable.judging.objective import Objective
from tune.base.errors import Halt
from tune.config.loading import load_config
from tune.strategy import confirmation
from tune.strategy.confirmation import finalists, open_confirmation, ranked, read_confirmation
from tune.strategy.portfolio import starting_point
from tune.study import storage
from tune.study.search import Search
from tune.study.trial import Epoch, TrialLog


def ended(
    number: int,
    scores: list[float],
    state: TrialState = TrialState.COMPLETE,
    loss: float = 1.0,
    of: int | None = None,
    seed: int | None = None,
) -> TrialLog:
    epochs = [Epoch({"val_acc": score, "val_loss": loss}, 0) for score in scores]
    lr = 1e-3 * (1 + (number if of is None else of))
    params = {"optim.lr": lr, "model.unfreeze_depth": 1}
    if of is not None:
        params["train.seed"] = 1 + number if seed is None else seed
    return TrialLog(number, params, 0, epochs, ended=1, state=state)


def test_the_finalists_are_the_best_completed_trials() -> None:
    trials = [
        ended(0, [0.5, 0.7]),
        ended(1, [0.9, 0.2]),
        ended(2, [0.99], TrialState.PRUNED),
        ended(3, [], TrialState.FAIL),
        ended(4, [0.7], loss=0.5),
    ]
    assert [trial.number for trial in finalists(trials, 3)] == [1, 4, 0]
    assert [trial.number for trial in finalists(trials, 9)] == [1, 4, 0]


def cut_short(number: int, scores: list[float], of: int | None = None) -> TrialLog:
    log = ended(number, scores, TrialState.PRUNED if scores else TrialState.FAIL, of=of)
    log.cut_short = True
    return log


def test_where_the_time_was_up_before_any_trial_completed_the_best_so_far_is_taken() -> None:
    """Also one that was stopped as weak before the time was up."""
    trials = [
        cut_short(0, [0.5, 0.6]),
        ended(1, [0.7], TrialState.PRUNED),
        cut_short(2, []),
        ended(3, [0.9], TrialState.FAIL),
    ]
    assert [trial.number for trial in finalists(trials, 3, timed=True)] == [1]
    assert [trial.number for trial in finalists([*trials, ended(4, [0.1])], 3, timed=True)] == [4]


def test_the_time_may_be_up_when_every_trial_that_began_was_stopped() -> None:
    stopped = [ended(1, [0.7], TrialState.PRUNED), ended(3, [0.9], TrialState.FAIL)]
    assert [trial.number for trial in finalists(stopped, 3, timed=True)] == [1]
    assert finalists(stopped, 3) == [], "without a budget there was time to complete one"


def test_equals_come_in_the_order_of_the_search() -> None:
    trials = [ended(number, [0.7]) for number in range(3)]
    assert [trial.number for trial in finalists(trials, 2)] == [0, 1]


def test_all_finalists_are_run_under_a_seed_then_all_under_the_next(tmp_path: Path) -> None:
    words = ["confirm.seeds=2", "train.seed=1", "confirm.top_k=2"]
    config = load_config(DIGITS, [*words, "augment.policy=none", "optim.weight_decay=0"])
    chosen = [ended(7, [0.9]), ended(3, [0.8])]
    search = search_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    ledger = open_confirmation(search, chosen)
    assert ledger is not None
    assert (ledger.kind, ledger.asked) == ("confirm", 4)
    found = [config.trial(ledger.begin().params) for _ in range(ledger.asked)]
    assert [(trial.optim.lr, trial.train.seed) for trial in found] == [
        (8e-3, 0), (4e-3, 0), (8e-3, 2), (4e-3, 2),
    ]  # fmt: skip


def test_between_search_and_confirmation_the_storage_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is away at first, comes back with another error, and then it is there."""
    config = load_config(DIGITS, ["confirm.top_k=1", "confirm.seeds=1"])
    search = search_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    errors = [StorageInternalError("no answer"), OperationalError("SELECT", {}, OSError("locked"))]
    real = storage.RDBStorage

    def away(url: str, engine: dict[str, Any]) -> RDBStorage:
        if errors:
            raise errors.pop(0)
        return real(url, engine)

    monkeypatch.setattr(storage, "RDBStorage", away)
    values = dict.fromkeys(config.space) | starting_point(config)
    ledger = open_confirmation(search, [TrialLog(0, values, 0)])
    assert errors == []
    assert ledger is not None
    assert ledger.asked == 1


def test_a_storage_that_stays_away_after_the_search_halts_it_and_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(url: str, engine: dict[str, Any]) -> RDBStorage:
        raise OperationalError("SELECT", {}, OSError("no route to host"))

    monkeypatch.setattr(storage, "RDBStorage", away)
    monkeypatch.setattr(confirmation, "PATIENCE", 0.3)
    search = search_of(load_config(DIGITS, []), f"sqlite:///{tmp_path / 'optuna.db'}")
    (tmp_path / "optuna.db").touch()
    with pytest.raises(Halt, match=r"cannot be reached: .*no route to host"):
        open_confirmation(search, [ended(0, [0.9])])


def test_without_finalists_or_seeds_there_is_no_confirmation(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    search = search_of(load_config(DIGITS, ["confirm.top_k=0"]), url)
    assert open_confirmation(search, [ended(7, [0.9])]) is None
    search = search_of(load_config(DIGITS, ["confirm.top_k=2"]), url)
    assert open_confirmation(search, []) is None
    assert read_confirmation(search, [ended(7, [0.9])]) is None, "it is not that far"


def begun(search: Search, now: list[TrialLog]) -> list[TrialLog]:
    """The runs that a confirmation of these finalists begins, each of which fails."""
    ledger, logs = open_confirmation(search, now), list[TrialLog]()
    assert ledger is not None
    while ledger.has_more():
        logs.append(ledger.begin())
        ledger.end(logs[-1].number, TrialState.FAIL)
    return logs


def test_a_search_that_grew_runs_its_new_finalists_and_not_the_others(tmp_path: Path) -> None:
    words = ["augment.policy=none", "optim.weight_decay=0", "confirm.seeds=2", "confirm.top_k=2"]
    search = search_of(load_config(DIGITS, words), f"sqlite:///{tmp_path / 'optuna.db'}")
    chosen = [ended(number, [0.9]) for number in range(3)]

    def begin(now: list[TrialLog]) -> list[tuple[int, float]]:
        return [(log.number, log.params["optim.lr"]) for log in begun(search, now)]

    assert begin(chosen[:2]) == [(0, 1e-3), (1, 2e-3), (2, 1e-3), (3, 2e-3)]
    assert begin(chosen[:2]) == []
    assert begin([chosen[2], chosen[0]]) == [(4, 3e-3), (5, 3e-3)]
    found = read_confirmation(search, chosen)
    assert found is not None
    assert sorted(found.trials) == [0, 1, 2, 3, 4, 5]


def test_the_winner_of_a_loss_has_the_lowest_mean() -> None:
    objective = Objective.named("val_loss")
    chosen = [ended(7, [0.95], loss=0.2), ended(3, [0.90], loss=0.3)]
    runs = [ended(0, [0.9], loss=0.4, of=7), ended(1, [0.9], loss=0.1, of=3)]
    for log in (*chosen, *runs):
        log.objective = objective
    assert [finalist.trial.number for finalist in ranked(chosen, runs)] == [3, 7]
    assert [trial.number for trial in finalists(chosen, 2)] == [7, 3]


def test_the_winner_has_the_best_mean_not_the_luckiest_score() -> None:
    chosen = [ended(7, [0.95]), ended(3, [0.90])]
    scores = {(0, 7): 0.80, (1, 7): 0.84, (2, 3): 0.91, (3, 3): 0.89, (4, 1): 0.99}
    runs = [ended(number, [score], of=of) for (number, of), score in scores.items()]
    order = ranked(chosen, runs)
    assert [finalist.trial.number for finalist in order] == [3, 7]
    assert order[0].mean == pytest.approx(0.90)
    assert order[0].spread == pytest.approx(0.0141, abs=1e-4)
    assert order[0].best_run is runs[2]
    assert order[1].best_run is None


def test_a_finalist_whose_every_seed_failed_is_not_taken() -> None:
    chosen = [ended(7, [0.95]), ended(3, [0.90])]
    broken = [ended(n, [], TrialState.FAIL, of=of) for n, of in enumerate((7, 7, 3))]
    order = ranked(chosen, [*broken, ended(3, [0.5], of=3)])
    assert [finalist.trial.number for finalist in order] == [3]


def test_without_a_confirmation_the_single_score_decides() -> None:
    order = ranked([ended(7, [0.95])], [])
    assert (order[0].mean, order[0].spread, order[0].best_run) == (0.95, 0.0, None)


@pytest.mark.parametrize("scores", [[0.6], []])
def test_a_finalist_that_there_was_no_time_for_has_not_failed(scores: list[float]) -> None:
    """The other one, which was the quicker, is no better for it."""
    chosen = [ended(7, [0.95]), ended(3, [0.90])]
    runs = [cut_short(0, scores, of=7), ended(1, [0.91], of=3)]
    assert [finalist.trial.number for finalist in ranked(chosen, runs)] == [7, 3]


def test_one_without_runs_leaves_the_others_in_the_order_of_their_runs() -> None:
    chosen = [ended(7, [0.95]), ended(3, [0.93]), ended(5, [0.92])]
    runs = [ended(0, [0.80], of=7, seed=1), ended(1, [0.90], of=3, seed=1), cut_short(2, [], of=5)]
    assert [finalist.trial.number for finalist in ranked(chosen, runs)] == [3, 7, 5]
    best = [ended(5, [0.94]), *chosen[:2]]
    assert [finalist.trial.number for finalist in ranked(best, runs)] == [5, 3, 7]


def test_without_finalists_there_is_no_order() -> None:
    assert ranked([], []) == []


def test_finalists_are_compared_under_the_seeds_that_both_have_run_under() -> None:
    """The second seed is an easy one, and there was no time to run both under it."""
    chosen = [ended(7, [0.95]), ended(3, [0.90])]
    runs = [
        ended(0, [0.80], of=7, seed=1),
        ended(1, [0.85], of=3, seed=1),
        ended(2, [0.99], of=7, seed=2),
    ]
    order = ranked(chosen, runs)
    assert [finalist.trial.number for finalist in order] == [3, 7]
    assert [finalist.standing for finalist in order] == [0.85, 0.80]
    assert order[1].mean == pytest.approx(0.895)


def test_where_the_seed_is_searched_the_others_are_none_of_the_finalists(tmp_path: Path) -> None:
    words = ["confirm.seeds=2", "confirm.top_k=2", "space.train.seed={low: 0, high: 9}"]
    config = load_config(DIGITS, [*words, "augment.policy=none", "optim.weight_decay=0"])
    chosen = [ended(7, [0.9], of=7, seed=1), ended(3, [0.8], of=3, seed=3)]
    search = search_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")

    def seeds(now: list[TrialLog]) -> list[int]:
        return [log.params["train.seed"] for log in begun(search, now)]

    assert seeds(chosen) == [2, 2, 4, 4]
    assert seeds([ended(9, [0.95], of=9, seed=2), chosen[1]]) == [1, 1, 4]
