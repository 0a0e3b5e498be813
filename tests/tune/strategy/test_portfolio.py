from __future__ import annotations

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.helpers.commands import DIGITS
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.config.space import Choices, Range
from tune.strategy.portfolio import first_points, starting_point
from tune.study.distributions import distributions


@pytest.fixture(scope="module")
def config() -> SearchConfig:
    return load_config(DIGITS)


def test_each_key_has_the_distribution_of_its_type(config: SearchConfig) -> None:
    assert distributions(config.space) == {
        "optim.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "optim.weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
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
    assert starting_point(config).keys() == {"optim.weight_decay", "model.unfreeze_depth"}


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
