from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.choice import Choice, measure_costs, network_of
from tune.study.trial import Epoch, TrialLog

ARCHS = "space.model.arch=[resnet18, resnet50]"
SIZES = "space.data.image_size=[16, 96]"


def config(*given: str) -> SearchConfig:
    return load_config(DIGITS, ["model.weights=random", *given])


def log(number: int, score: float, **params: Any) -> TrialLog:
    epochs = [Epoch({"val_acc": score, "val_loss": 1 - score}, 0)]
    named = {key.replace("__", "."): value for key, value in params.items()}
    return TrialLog(number, named, 0, epochs, ended=1, state=TrialState.COMPLETE)


def test_without_a_cost_the_best_are_chosen() -> None:
    choice = Choice(config(ARCHS))
    trials = [log(0, 0.9), log(1, 0.95), log(2, 0.92)]
    assert [each.number for each in choice.finalists(trials, 2)] == [1, 2]
    assert choice.cost(trials[0].params) is None
    assert choice.as_cheap(choice.ranked(trials, [])) == choice.ranked(trials, [])


def test_of_those_within_the_tolerance_the_cheapest_is_chosen() -> None:
    given = config("strategy.cost=size", "strategy.tolerance=0.02", ARCHS)
    choice = Choice(given, {"resnet18": 45.0, "resnet50": 95.0})
    trials = [
        log(0, 0.95, model__arch="resnet50"),
        log(1, 0.92, model__arch="resnet18"),
        log(2, 0.94, model__arch="resnet18"),
        log(3, 0.935, model__arch="resnet18"),
    ]
    assert [each.number for each in choice.finalists(trials, 4)] == [2, 3, 0, 1]
    assert [each.number for each in choice.finalists(trials, 2)] == [2, 0], "the best is one"
    assert [each.number for each in choice.finalists(trials, 1)] == [2]
    order = choice.ranked(trials, [])
    assert [one.trial.number for one in order] == [2, 3, 0, 1]
    assert [one.trial.number for one in choice.as_cheap(order)] == [2, 3, 1]


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(80, 99), st.sampled_from([1.0, 2.0, 3.0, 4.0])), max_size=9),
    st.integers(1, 3),
)
def test_who_cannot_be_chosen_now_is_not_chosen_later(
    trials: list[tuple[int, float]], count: int
) -> None:
    archs = ["resnet18", "resnet34", "resnet50", "resnet101"]
    costs = dict(zip(archs, [1.0, 2.0, 3.0, 4.0], strict=True))
    words = "strategy.cost=size", "strategy.tolerance=0.04", f"space.model.arch={archs}"
    choice, ended, left = Choice(config(*words), costs), list[TrialLog](), set[int]()
    for number, (percent, cost) in enumerate(trials):
        ended.append(log(number, percent / 100, model__arch=archs[int(cost) - 1]))
        left.add(number)
        left &= {each.number for each in choice.may_be_chosen(ended, count)}
        assert {each.number for each in choice.finalists(ended, count)} <= left


def test_a_loss_is_near_from_above() -> None:
    given = config(
        "strategy.cost=size", "strategy.tolerance=0.02", ARCHS, "objective.metric=val_loss"
    )
    choice = Choice(given, {"resnet18": 45.0, "resnet50": 95.0})
    trials = [log(0, 0.95, model__arch="resnet50"), log(1, 0.94, model__arch="resnet18")]
    for trial in trials:
        trial.objective = trial.objective.named("val_loss")
    assert [each.number for each in choice.finalists(trials, 1)] == [1]


def test_what_was_confirmed_to_be_worse_is_not_taken_for_its_cost() -> None:
    given = config("strategy.cost=size", "strategy.tolerance=0.01", ARCHS, "confirm.top_k=2")
    choice = Choice(given, {"resnet18": 45.0, "resnet50": 95.0})
    chosen = [log(0, 0.95, model__arch="resnet50"), log(1, 0.945, model__arch="resnet18")]
    runs = [
        log(0, 0.95, model__arch="resnet50", train__seed=1),
        log(1, 0.90, model__arch="resnet18", train__seed=1),
    ]
    assert [one.trial.number for one in choice.ranked(chosen, runs)] == [0, 1]


def test_what_ran_on_another_fold_alone_is_not_taken_for_its_cost() -> None:
    """An easy one: on the fold that both have run on it is far behind."""
    given = config("strategy.cost=size", "strategy.tolerance=0.01", ARCHS, "confirm.top_k=2")
    choice = Choice(given, {"resnet18": 45.0, "resnet50": 95.0})
    chosen = [log(0, 0.95, model__arch="resnet50"), log(1, 0.945, model__arch="resnet18")]
    scores = {("resnet50", "1/3"): 0.9, ("resnet18", "1/3"): 0.8, ("resnet50", "2/3"): 0.5}
    runs = [
        log(number, score, model__arch=arch, data__fold=fold)
        for number, ((arch, fold), score) in enumerate(scores.items())
    ]
    assert [one.trial.number for one in choice.ranked(chosen, runs)] == [0, 1]


def test_a_size_is_that_of_the_weights_in_float32() -> None:
    costs = measure_costs(config("strategy.cost=size", ARCHS, SIZES), 10)
    assert set(costs) == {"resnet18", "resnet50"}
    assert costs["resnet18"] == pytest.approx(44.8, abs=0.2)  # 11.2 million parameters
    assert costs["resnet50"] == pytest.approx(94.3, abs=0.4)


def test_a_size_does_not_depend_on_the_images() -> None:
    endless = "space.data.image_size={low: 16, high: 1000}"
    assert set(measure_costs(config("strategy.cost=size", ARCHS, endless), 10)) == {
        "resnet18",
        "resnet50",
    }


def test_seconds_are_measured_for_each_network() -> None:
    given = config(
        "strategy.cost=seconds", SIZES, "data.mirror=true", "space.predict.flips=[true, false]"
    )
    costs = measure_costs(given, 10)
    assert set(costs) == {
        f"resnet18 at {size} px{flips}" for size in (16, 96) for flips in ("", ", mirrored too")
    }
    assert costs["resnet18 at 16 px"] < costs["resnet18 at 96 px"]
    assert all(0 < cost < 5 for cost in costs.values())
    params = {"data.image_size": 96, "predict.flips": True}
    assert network_of(given, params) == "resnet18 at 96 px, mirrored too"


def test_nothing_is_measured_where_no_cost_counts() -> None:
    assert measure_costs(config(ARCHS), 10) == {}


def test_more_sizes_than_can_be_measured_are_refused() -> None:
    with pytest.raises(ValueError, match="the space has 185 networks, of which each is measured"):
        measure_costs(
            config("strategy.cost=seconds", "space.data.image_size={low: 16, high: 200}"), 10
        )


def test_a_tolerance_is_no_negative_number() -> None:
    with pytest.raises(ConfigError, match=r"strategy\.tolerance=-1"):
        config("strategy.tolerance=-1")
