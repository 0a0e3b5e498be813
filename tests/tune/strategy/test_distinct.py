"""No trial is proposed twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, ledger_of, reported
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.study.ledger import Ledger
from tune.study.trial import Decision

SMALL = (
    "space={model.unfreeze_depth: {low: 0, high: 5}, "
    "optim.layer_decay: {values: [0.5, 1], when: {model.unfreeze_depth: {ge: 4}}}}"
)
"""Eight different trials, added to what the preset searches."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def small(tmp_path: Path, *words: str) -> SearchConfig:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.replace("space=", "space: "))
    return load_config(path, ["sampler.startup_trials=2", *words])


def run(reopen: Callable[[], Ledger], ends: dict[int, str] | None = None) -> list[dict[str, Any]]:
    """The values of the trials of a search, each run by another process."""
    ends, found = ends or {}, []
    while (ledger := reopen()).has_more():
        log = ledger.begin()
        found.append(log.params)
        if log.number in ends:
            ledger.end(log.number, TrialState.FAIL, ends[log.number])
            continue
        ledger.add_epoch(log.number, 1, reported(0.5), Decision.GO_ON)
        ledger.end(log.number, TrialState.COMPLETE)
    return found


@pytest.mark.parametrize("name", ["tpe", "random", "joint_tpe"])
def test_a_small_space_is_tried_once_and_no_further(name: str, tmp_path: Path) -> None:
    config = small(tmp_path, f"sampler.name={name}")
    assert config.budget.num_samples == 20
    ledger = ledger_in_memory(config)
    found = run(lambda: ledger)
    assert len(found) == config.num_trials == 8
    assert len({str(sorted(params.items())) for params in found}) == 8


@pytest.mark.slow
def test_the_same_trials_are_drawn_again_in_one_process_as_in_many(
    tmp_path: Path, url: str
) -> None:
    config = small(tmp_path)
    ledger = ledger_of(config, f"sqlite:///{tmp_path / 'one.db'}")
    assert run(lambda: ledger) == run(lambda: ledger_of(config, url))


@pytest.mark.slow
def test_what_failed_by_its_own_fault_is_not_tried_again_and_what_was_killed_may_be(
    tmp_path: Path, url: str
) -> None:
    config = small(tmp_path)
    ends = dict.fromkeys(range(8), "DivergedError: nan")
    assert len({str(p) for p in run(lambda: ledger_of(config, url), ends)}) == 8
    ledger = ledger_of(config, url, "two", "two")
    for _ in range(8):
        ledger.end(ledger.begin().number, TrialState.FAIL, "its worker died: killed")
    redrawn = [t for t in ledger.study.trials if "redrawn" in t.user_attrs]
    assert redrawn == [], "nothing was known"


@pytest.mark.slow
def test_a_trial_that_was_drawn_again_goes_on_after_a_kill_with_the_same_values(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first of its two values."""
    config = small(tmp_path)
    whole = run(lambda: ledger_of(config, f"sqlite:///{tmp_path / 'whole.db'}"))
    redrawn = [
        trial.number
        for trial in ledger_of(config, f"sqlite:///{tmp_path / 'whole.db'}").study.trials
        if "redrawn" in trial.user_attrs and "optim.layer_decay" in trial.params
    ]
    assert redrawn, "there is none to be killed in"

    def reopen() -> Ledger:
        ledger = ledger_of(config, url)
        if len(ledger.trials) == redrawn[0] and not any(
            trial.state is TrialState.RUNNING for trial in ledger.study.trials
        ):
            ledger.study.ask().suggest_int("model.unfreeze_depth", 0, 5)
            return ledger_of(config, url)
        return ledger

    assert run(reopen) == whole


def test_points_that_are_planned_in_full_are_never_drawn_again(tmp_path: Path, url: str) -> None:
    config = small(tmp_path, "sampler.points=[{model.unfreeze_depth: 1}]")
    ledger = ledger_of(config, url)
    assert ledger.begin().params == {"model.unfreeze_depth": 1}
    ledger.study.enqueue_trial({"model.unfreeze_depth": 1})
    assert ledger.begin().params == {"model.unfreeze_depth": 1}


def test_a_point_that_leaves_a_value_open_keeps_the_others(tmp_path: Path, url: str) -> None:
    points = "{model.unfreeze_depth: 4, optim.layer_decay: 1}, {model.unfreeze_depth: 4}"
    config = small(tmp_path, f"sampler.points=[{points}]")
    ledger = ledger_of(config, url)
    found = [ledger.begin().params for _ in range(2)]
    assert found == [
        {"model.unfreeze_depth": 4, "optim.layer_decay": decay} for decay in (1.0, 0.5)
    ]


def test_where_a_value_is_drawn_from_a_range_the_proposals_are_as_they_were(url: str) -> None:
    """Recorded by the code before this: the digits' first drawn trial."""
    ledger = ledger_of(load_config(DIGITS), url)
    ledger.begin()
    assert ledger.begin().params == FIRST_DRAWN


FIRST_DRAWN: dict[str, Any] = {
    "optim.lr": 0.008119052727954464,
    "model.unfreeze_depth": 2,
    "augment.policy": "trivial",
}


def test_points_that_are_one_trial_are_tried_once(tmp_path: Path, url: str) -> None:
    """They differ in a key that neither has."""
    points = (
        "{model.unfreeze_depth: 1, optim.layer_decay: 1}, "
        "{model.unfreeze_depth: 1, optim.layer_decay: 0.5}, {model.unfreeze_depth: 2}"
    )
    ledger = ledger_of(small(tmp_path, f"sampler.points=[{points}]"), url)
    assert [ledger.begin().params for _ in range(2)] == [
        {"model.unfreeze_depth": depth} for depth in (1, 2)
    ]


def test_points_beyond_the_number_of_trials_wait_for_an_extension(tmp_path: Path, url: str) -> None:
    points = ", ".join(f"{{model.unfreeze_depth: {depth}}}" for depth in (2, 1, 0))
    words = [f"sampler.points=[{points}]", "budget.num_samples=1"]
    assert run(lambda: ledger_of(small(tmp_path, *words), url)) == [{"model.unfreeze_depth": 2}]
    assert len(ledger_of(small(tmp_path, *words), url).study.trials) == 1
    words[1] = "budget.num_samples=3"
    found = run(lambda: ledger_of(small(tmp_path, *words), url))
    assert found == [{"model.unfreeze_depth": depth} for depth in (1, 0)]
    assert len(ledger_of(small(tmp_path, *words), url).study.trials) == 3
