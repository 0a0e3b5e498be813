"""Portfolios as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.config.portfolios import read_portfolio
from tune.config.presets import FOLDER, presets
from tune.config.sections import StrategyConfig


@pytest.mark.parametrize("path", sorted((FOLDER / "portfolios").glob("*.yaml")), ids=str)
def test_every_portfolio_that_comes_along_is_valid(path: Path) -> None:
    points = read_portfolio(StrategyConfig(portfolio=path.stem))
    assert all(point.why for point in points)
    assert f"portfolios/{path.stem}" not in presets(), "it is no config"


def test_by_default_there_is_none() -> None:
    assert read_portfolio(load_config(DIGITS).strategy) == ()


def test_a_list_in_the_config_is_a_portfolio() -> None:
    words = ["strategy.portfolio=[{name: one, values: {optim: {lr: 0.1}}}]"]
    (point,) = read_portfolio(load_config(DIGITS, words).strategy)
    assert point.values == {"optim.lr": 0.1}


def test_a_file_of_ones_own_wins_over_the_name(in_tmp_path: Path) -> None:
    (in_tmp_path / "literature").write_text("points: [{name: own, values: {optim.lr: 0.1}}]")
    (point,) = read_portfolio(StrategyConfig(portfolio="literature"))
    assert point.name == "own"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("points: []", "points=[]: Tuple should have at least 1 item"),
        ("spots: []", "spots"),
        ("points: [{name: a b, values: {optim.lr: 1}}]", "points.0.name=a b"),
        ("points: [{name: a, values: {}}]", "points.0.values={}"),
        (
            "points: [{name: a, values: {optim.lrr: 1}}]",
            "values.optim.lrr: no such key of a trial; nearest: optim.lr",
        ),
        ("points: [{name: a, values: {optim.lr: fast}}]", "values.optim.lr=fast"),
        (
            "points: [{name: a, values: {data.limit: 9}}]",
            "values.data.limit: a point leaves this to the config",
        ),
        (
            "points: [{name: a, values: {optim.lr: 1}, when: {images_a_class: 3}}]",
            "when.images_a_class: no such fact; nearest: images_per_class",
        ),
        (
            "points: [{name: a, values: {train.epochs: 1}, lr_at_batch: 64}]",
            "lr_at_batch needs values.optim.lr",
        ),
        (
            "points: [{name: a, values: {optim.lr: 1}}, {name: a, values: {optim.lr: 2}}]",
            "2 points are called a",
        ),
    ],
)
def test_a_mistake_in_a_portfolio_is_told_in_one_line(
    text: str, told: str, in_tmp_path: Path
) -> None:
    (in_tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_portfolio(StrategyConfig(portfolio="own.yaml"))
    assert str(error.value).startswith("strategy.portfolio=own.yaml: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mistake_in_a_list_of_points_says_in_which(in_tmp_path: Path) -> None:
    words = ["strategy.portfolio=[{name: a, values: {optim.lr: 1}}, {name: b}]"]
    with pytest.raises(ConfigError, match=r"strategy\.portfolio\.1\.values=.*required"):
        load_config(DIGITS, words)


def test_an_unknown_portfolio_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"=lit: no such .* none, learned, literature"):
        read_portfolio(StrategyConfig(portfolio="lit"))


def test_the_error_of_a_portfolio_that_is_no_yaml_quotes_nothing_of_the_file(
    tmp_path: Path,
) -> None:
    """A config from elsewhere may name any file."""
    path = tmp_path / "secret.yaml"
    path.write_text("password: [hunter2\n")
    config = load_config(DIGITS, [f"strategy.portfolio={path}"])
    with pytest.raises(ConfigError, match="not usable as YAML: ParserError") as caught:
        read_portfolio(config.strategy)
    assert "hunter2" not in str(caught.value)
