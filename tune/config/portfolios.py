"""Reading the portfolio that a config names."""

from __future__ import annotations

from pydantic import ValidationError

from tune.base.errors import ConfigError, squeeze
from tune.config.documents import read_file
from tune.config.points import Point, Points
from tune.config.presets import find_portfolio
from tune.config.sections import StrategyConfig

NONE = "none"
"""The portfolio without points."""


def read_portfolio(config: StrategyConfig) -> tuple[Point, ...]:
    """The points of a portfolio, as it has them for all data.

    Raises:
        ConfigError: There is no such file, or it breaks a rule.
    """
    given = config.portfolio
    if not isinstance(given, str):
        return given
    if given == NONE:
        return ()
    source = f"strategy.portfolio={squeeze(given)}"
    content = read_file(find_portfolio(given), source, quoted=False)
    try:
        return Points.model_validate(content).points
    except ValidationError as error:
        raise ConfigError(f"{source}: {_one_line(error)}") from error


def _one_line(error: ValidationError) -> str:
    """Where a file breaks a rule, and which."""
    first = error.errors(include_url=False)[0]
    parts = [str(part) for part in first["loc"] if part not in {"Bounds", "OneOf"}]
    rule = first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(parts) or 'points'}={squeeze(first['input'])}: {rule}"
