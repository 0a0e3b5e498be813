"""What is tried first, and the plan of a search."""

from __future__ import annotations

from typing import Any

from tune.config.schema import SearchConfig
from tune.config.space import flatten
from tune.strategy.samplers import search_sampler
from tune.study.ledger import Ledger
from tune.study.opening import open_ledger, read_ledger
from tune.study.plan import Plan
from tune.study.search import Search


def search_plan(name: str, config: SearchConfig) -> Plan:
    """What the trials of a search are to be."""
    return Plan(
        kind="trial",
        study=name,
        space=config.space,
        points=first_points(config),
        sampler=search_sampler(config),
        asked=config.num_trials,
    )


def open_search(search: Search) -> Ledger:
    """The ledger of a search, made if it is not there yet.

    Raises:
        ConfigError: The storage cannot be used, or has another search of this name.
    """
    return open_ledger(search, search_plan(search.name, search.config))


def read_search(search: Search) -> Ledger:
    """The ledger of a search that was started, to be looked at.

    Raises:
        ConfigError: It was not, or the storage cannot be used.
    """
    return read_ledger(search.config, search_plan(search.name, search.config))


def first_points(config: SearchConfig) -> list[dict[str, Any]]:
    """What is tried first: the config's points, else the base trial's own values."""
    return list(config.sampler.points) or [starting_point(config)]


def starting_point(config: SearchConfig) -> dict[str, Any]:
    """The base trial's own values, as far as they lie in the space."""
    own = flatten(config.base.model_dump())
    return {key: own[key] for key, values in config.space.items() if values.holds(own[key])}
