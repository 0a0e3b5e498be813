from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.helpers.commands import DIGITS
from tests.helpers.studies import search_of
from tune.config.loading import load_config
from tune.config.points import Point
from tune.config.schema import SearchConfig
from tune.config.space import Choices, Range
from tune.strategy.portfolio import choose, first_points, open_search, starting_point
from tune.study.definition import read_definition
from tune.study.distributions import distributions


@pytest.fixture(scope="module")
def config() -> SearchConfig:
    return load_config(DIGITS)


def test_each_key_has_the_distribution_of_its_type(config: SearchConfig) -> None:
    assert distributions(config.space) == {
        "optim.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "model.unfreeze_depth": IntDistribution(0, 5),
        "augment.policy": CategoricalDistribution(["none", "flip_crop", "trivial", "rand"]),
    }


@given(seed=st.integers(0, 2**31 - 1))
def test_whatever_is_drawn_makes_a_trial(seed: int) -> None:
    config = load_config(DIGITS)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = config.trial(study.ask(distributions(config.space)).params)
    assert 1e-4 <= trial.optim.lr <= 1e-2
    assert trial.data == config.data


def test_the_starting_point_is_the_base_trial(config: SearchConfig) -> None:
    assert config.trial(starting_point(config)) == config.base


def test_the_starting_point_leaves_out_what_lies_outside_the_space() -> None:
    config = load_config(DIGITS, ["space.optim.lr.high=1e-3", "space.augment.policy=[rand]"])
    assert starting_point(config).keys() == {"model.unfreeze_depth"}


def test_the_starting_point_comes_first_unless_other_points_are_given(
    config: SearchConfig,
) -> None:
    assert first_points(config) == [starting_point(config)]
    given = load_config(DIGITS, ["sampler.points=[{optim.lr: 5e-4}, {optim.lr: 1e-3}]"])
    assert first_points(given) == [{"optim.lr": 5e-4}, {"optim.lr": 1e-3}]


@pytest.mark.parametrize(
    ("values", "inside", "outside"),
    [
        (Range(low=1, high=3), (1, 2.5, 3.0), (0.9, 3.1, True, "2", None)),
        (Range(low=0, high=1, step=0.1), (0, 0.3, 1.0), (0.25, 1.1)),
        (Choices(choices=("none", 1)), ("none", 1), ("flip", 2, None)),
    ],
)
def test_what_is_searched_holds_its_own_values(
    values: Range | Choices, inside: tuple[object, ...], outside: tuple[object, ...]
) -> None:
    assert all(values.holds(value) for value in inside)
    assert not any(values.holds(value) for value in outside)


def point(values: dict[str, Any], **more: Any) -> Point:
    return Point.model_validate({"name": "one", "values": values, **more})


def tried(config: SearchConfig, *points: Point, **facts: Any) -> list[dict[str, Any]]:
    """The values of the points that are tried after the config's own."""
    return [each.values for each in choose(config, points, facts).points[1:]]


def reason(config: SearchConfig, one: Point, **facts: Any) -> str:
    """Why a point is not tried."""
    ((name, why),) = choose(config, [one], facts).dropped
    assert name == one.name
    return why


def test_the_configs_own_recipe_comes_first_whatever_the_portfolio(config: SearchConfig) -> None:
    found = choose(config, [point({"optim.lr": 1e-3})], {})
    assert [each.name for each in found.points] == ["config", "one"]
    assert found.points[0].values == starting_point(config)
    given = load_config(DIGITS, ["sampler.points=[{optim.lr: 5e-4}]"])
    found = choose(given, [point({"optim.lr": 1e-3})], {})
    assert [each.name for each in found.points] == ["config-1", "one"]


def test_what_a_point_does_not_say_is_as_the_config_has_it(config: SearchConfig) -> None:
    (values,) = tried(config, point({"optim.lr": 1e-3}))
    assert values == {**starting_point(config), "optim.lr": 1e-3}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"optim.lr": 1.0}, {"optim.lr": 1e-2}),
        ({"optim.lr": 1e-6}, {"optim.lr": 1e-4}),
        ({"augment.policy": "rand"}, {"augment.policy": "rand"}),
        ({"augment.policy": "flip", "optim.lr": 1e-3}, {"optim.lr": 1e-3}),
        ({"train.batch_size": 90}, {"train.batch_size": 64}),
        ({"train.batch_size": 1000}, {"train.batch_size": 128}),
        ({"augment.mixup": 0.33}, {"augment.mixup": 0.25}),
        ({"optim.l1": 5.0}, {}),
    ],
)
def test_a_value_outside_the_space_becomes_the_nearest_in_it(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """And a key that is not searched stays as the config has it."""
    searched = "space.train.batch_size=[16, 64, 128]"
    mixed = "space.augment.mixup={low: 0, high: 1, step: 0.25}"
    config = load_config(DIGITS, [searched, mixed, "augment.mixup=0.5"])
    values = tried(config, point({"model.unfreeze_depth": 3, **given}))[0]
    assert values == {**starting_point(config), "model.unfreeze_depth": 3, **expected}


def test_a_point_that_equals_an_earlier_one_is_not_tried_again(config: SearchConfig) -> None:
    assert reason(config, point({"optim.lr": 3e-3})) == "in this space it is config"
    assert "it is config" in reason(config, point({"optim.lr": 3e-3, "optim.l1": 1.0}))


def test_a_point_is_tried_where_the_facts_are_as_it_says(config: SearchConfig) -> None:
    few = point({"optim.lr": 1e-3}, when={"images_per_class": {"lt": 50}, "weights": "bundled"})
    assert tried(config, few, images_per_class=20, weights="bundled")
    assert reason(config, few, images_per_class=80.5, weights="bundled") == (
        "only where images_per_class is below 50; images_per_class is 80.5"
    )
    assert "weights is not known" in reason(config, few, images_per_class=20)


def test_a_point_weighs_classes_where_they_are_of_unequal_size() -> None:
    searched = "space.train.class_weights=[none, balanced, effective]"
    config = load_config(DIGITS, [searched, "space.train.sampler=[shuffle, balanced]"])
    rare = point(
        {"train.class_weights": "effective", "train.sampler": "shuffle"},
        when={"imbalance": {"ge": 10}},
    )
    values = tried(config, rare, imbalance=25.0)[0]
    assert values["train.class_weights"] == "effective"
    assert reason(config, rare, imbalance=2.0).startswith("only where imbalance is at least 10")


@pytest.mark.parametrize(
    ("optimizer", "batch", "expected"),
    [("sgd", 128, 4e-3), ("sgd", 32, 1e-3), ("adamw", 128, 2.83e-3), ("adam", 16, 1e-3)],
)
def test_a_rate_is_scaled_to_the_batch_that_a_trial_has(
    optimizer: str, batch: int, expected: float
) -> None:
    config = load_config(DIGITS, [f"optim.name={optimizer}", f"train.batch_size={batch}"])
    values = {"optim.lr": 2e-3, "train.batch_size": 64}
    assert tried(config, point(values, lr_at_batch=64))[0]["optim.lr"] == expected
    assert tried(config, point(values))[0]["optim.lr"] == 2e-3


def test_a_batch_is_no_larger_than_the_images_there_are() -> None:
    config = load_config(DIGITS, ["optim.name=sgd", "train.batch_size=512"])
    one = point({"optim.lr": 2e-3}, lr_at_batch=64)
    assert tried(config, one, images=128)[0]["optim.lr"] == 4e-3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"optim.name": "sgd"}, "optim.name is adamw here, and its rate is for sgd"),
        ({"model.unfreeze_depth": 0}, "model.unfreeze_depth is 2 here, and its rate is for 0"),
    ],
)
def test_a_rate_is_not_taken_for_another_optimizer_or_a_head_alone(
    given: dict[str, Any], told: str
) -> None:
    config = load_config(DIGITS, ["model.unfreeze_depth=2"])
    assert reason(config, point({"optim.lr": 1e-3, **given})) == told


def test_a_point_has_only_the_keys_whose_conditions_hold_for_it() -> None:
    when = "{values: [0.5, 0.8], when: {model.unfreeze_depth: {ge: 3}}}"
    config = load_config(DIGITS, [f"space.optim.layer_decay={when}"])
    deep, flat = (
        tried(config, point({"model.unfreeze_depth": depth, "optim.layer_decay": 0.55}))[0]
        for depth in (3, 1)
    )
    assert deep["optim.layer_decay"] == 0.5
    assert "optim.layer_decay" not in flat


@given(
    lr=st.floats(1e-7, 50), depth=st.integers(0, 5), batch=st.integers(2, 60_000), own=st.integers()
)
def test_whatever_a_point_says_it_lies_in_the_space(
    lr: float, depth: int, batch: int, own: int
) -> None:
    config = load_config(DIGITS, ["space.train.batch_size={low: 16, high: 256, log: true}"])
    values = {"optim.lr": lr, "model.unfreeze_depth": depth, "train.batch_size": batch}
    for found in tried(config, point(values, lr_at_batch=64), images=abs(own) + 2):
        assert all(config.space[key].holds(value) for key, value in found.items())
        config.trial(found)


def test_a_search_goes_on_with_the_points_that_were_chosen_at_its_start(tmp_path: Path) -> None:
    """On another machine, whose portfolio may be another; the study alone knows them too."""
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    config = load_config(DIGITS, ["strategy.portfolio=gone.yaml"])
    chosen = choose(config, [point({"optim.lr": 1e-3})], {})
    search = search_of(config, url).model_copy(
        update={"points": chosen.points, "facts": {"images": 3, "weights": "bundled"}}
    )
    open_search(search)
    known = read_definition(url, "one")
    assert known is not None
    assert (known.points, known.facts) == (search.points, search.facts)
    again = open_search(search)
    planned = [again.begin().params for _ in range(3)]
    assert planned[:2] == [each.values for each in chosen.points]
    assert planned[2]["optim.lr"] != 1e-3
    assert len(again.study.trials) == 3
