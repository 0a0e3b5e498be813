"""Proposals near the best trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, reported
from tune.config.loading import load_config
from tune.config.sections import SamplerConfig
from tune.strategy.local import KEPT, PARENTS, STEP
from tune.strategy.samplers import RepeatableSampler
from tune.study.trial import Decision

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "share": FloatDistribution(0, 1, step=0.25),
    "depth": IntDistribution(0, 20),
    "policy": CategoricalDistribution(["none", "flip", "crop", "trivial"]),
    "mixing": CategoricalDistribution([0.0, 0.2]),
}
POOR = {"rate": 1e-4, "share": 0.0, "depth": 0, "policy": "none", "mixing": 0.0}
GOOD = {"rate": 3e-3, "share": 0.5, "depth": 10, "policy": "crop", "mixing": 0.2}


def study_of(
    *tried: tuple[Mapping[str, Any], Sequence[float]], startup: int = 1, direction: str = "maximize"
) -> Study:
    """A study with trials that have reported so, the last of which still runs."""
    sampler = RepeatableSampler(SamplerConfig(name="local", startup_trials=startup))
    study = optuna.create_study(direction=direction, sampler=sampler)
    for place, (params, reports) in enumerate(tried):
        runs = place == len(tried) - 1
        study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING if runs else TrialState.PRUNED,
                params=dict(params),
                distributions={key: SPACE[key] for key in params},
                intermediate_values=dict(enumerate(reports)),
            )
        )
    return study


def drawn(study: Study, count: int = 400) -> list[dict[str, Any]]:
    """What is proposed, each of whose trials fails."""
    found = []
    for _ in range(count):
        trial = study.ask(SPACE)
        study.tell(trial, state=TrialState.FAIL)
        found.append(trial.params)
    return found


def test_numbers_are_near_those_of_the_best_and_choices_mostly_the_same() -> None:
    found = drawn(study_of((POOR, [0.1]), (GOOD, [0.9])))
    near = [each for each in found if each["policy"] == "crop"]
    first, second = PARENTS[0], 1 - PARENTS[0]  # of two trials, the second is the worst of three
    assert len(near) / 400 == pytest.approx(first * (KEPT + 0.25 / 4) + second * 0.25 / 4, abs=0.07)
    steps = [math.log(each["rate"] / 3e-3) / math.log(1e3) for each in near]
    assert np.median(steps) == pytest.approx(0, abs=0.03)
    assert np.median(np.abs(steps)) == pytest.approx(0.67 * STEP, rel=0.35)
    assert {each["share"] for each in found} <= {0, 0.25, 0.5, 0.75, 1}
    assert {type(each["depth"]) for each in found} == {int}
    assert np.median([each["depth"] for each in near]) == pytest.approx(10, abs=1)


def test_all_values_of_a_trial_are_round_the_same_one() -> None:
    found = drawn(study_of((POOR, [0.1]), (GOOD, [0.9])))
    deep = np.array([each["depth"] > 5 for each in found])
    large = np.array([each["rate"] > 6e-4 for each in found])
    assert np.mean(deep == large) > 0.85  # of values by themselves it would be a half


@pytest.mark.parametrize(("direction", "best"), [("maximize", [0.2, 0.9]), ("minimize", [3, -1])])
def test_the_best_is_that_with_the_best_report(direction: str, best: Sequence[float]) -> None:
    others = [(POOR, [0.5, 0.5])] * 2
    study = study_of((GOOD, best), *others, (POOR, [math.nan]), direction=direction)
    share = np.mean([each["depth"] > 5 for each in drawn(study)])
    assert share == pytest.approx(PARENTS[0], abs=0.08)


def test_before_enough_have_ended_values_are_drawn_evenly() -> None:
    tried = [(GOOD, [0.9])] * 3  # of which two have ended
    even = [each["depth"] for each in drawn(study_of(*tried, startup=3))]
    near = [each["depth"] for each in drawn(study_of(*tried, startup=2))]
    assert np.std(even) == pytest.approx(6, abs=0.6)
    assert np.std(near) == pytest.approx(20 * STEP, abs=0.6)


def test_what_the_best_lacks_is_drawn_evenly() -> None:
    without = {key: value for key, value in GOOD.items() if key != "depth"}
    found = drawn(study_of((without, [0.9]), (without, [0.9])))
    assert np.std([each["depth"] for each in found]) == pytest.approx(6, abs=0.6)


def test_a_diverged_trial_has_no_neighbours() -> None:
    config = load_config(DIGITS, ["sampler.name=local", "sampler.startup_trials=1"])
    ledger = ledger_in_memory(config)
    for number, (score, state) in enumerate([(0.5, "COMPLETE"), (0.9, "FAIL")]):
        ledger.begin()
        ledger.add_epoch(number, 1, reported(score), Decision.GO_ON)
        ledger.end(
            number, TrialState[state], error="DivergedError: the loss" if state == "FAIL" else None
        )
    sampler = RepeatableSampler(config.sampler)
    parents = [sampler._still._parent(sampler._taught(ledger.study), n) for n in range(9)]  # type: ignore[attr-defined]
    assert parents == [ledger.trials[0].params] * 9
