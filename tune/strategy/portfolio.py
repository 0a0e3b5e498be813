"""What is tried first, and the plan of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tune.config.conditions import describe, hold
from tune.config.keys import is_whole
from tune.config.points import BATCH, DEPTH, LR, OPTIMIZER, FirstPoint, Point
from tune.config.schema import SearchConfig
from tune.config.space import Choices, Range, Values
from tune.config.walk import is_whole_trial, planned, walk
from tune.strategy.samplers import search_sampler
from tune.study.ledger import Ledger
from tune.study.opening import open_ledger, read_ledger
from tune.study.plan import Plan
from tune.study.search import Search

OWN: Final = "config"
"""The name of the config's own recipe among the points."""

Facts = Mapping[str, str | int | float]
"""What is known of the data, by the names of `FACTS`."""


@dataclass(frozen=True)
class Portfolio:
    """The points that a search tries first, and those that it does not.

    Attributes:
        points: In their order; the config's own come first.
        dropped: The others, by name, with the reason.
    """

    points: tuple[FirstPoint, ...]
    dropped: tuple[tuple[str, str], ...] = ()


def search_plan(
    name: str, config: SearchConfig, points: Sequence[FirstPoint] | None = None
) -> Plan:
    """What the trials of a search are to be.

    Args:
        name: The search's name.
        config: The search.
        points: What is tried first; by default the config's own.
    """
    own = first_points(config)
    return Plan(
        kind="trial",
        study=name,
        space=config.space,
        points=own if points is None else [point.values for point in points],
        sampler=search_sampler(config),
        asked=config.num_trials,
    )


def open_search(search: Search) -> Ledger:
    """The ledger of a search, made if it is not there yet.

    Raises:
        ConfigError: The storage cannot be used, or has another search of this name.
    """
    return open_ledger(search, search_plan(search.name, search.config, search.points))


def read_search(search: Search) -> Ledger:
    """The ledger of a search that was started, to be looked at.

    Raises:
        ConfigError: It was not, or the storage cannot be used.
    """
    return read_ledger(search.config, search_plan(search.name, search.config, search.points))


def first_points(config: SearchConfig) -> list[dict[str, Any]]:
    """The config's own points, else the base trial's own values; each trial once."""
    space, own = config.space, config.own
    found = list[dict[str, Any]]()
    for given in config.sampler.points or (starting_point(config),):
        point = planned(space, own, given)
        if point not in found or not is_whole_trial(space, own, point):
            found.append(point)
    return found


def starting_point(config: SearchConfig) -> dict[str, Any]:
    """The base trial's own values, as far as they lie in the space."""
    own = config.own
    return {key: own[key] for key, values in config.space.items() if values.holds(own[key])}


def choose(config: SearchConfig, points: Sequence[Point], facts: Facts) -> Portfolio:
    """The points that suit the data, in the search's space, after the config's own.

    Args:
        config: The search.
        points: A portfolio.
        facts: What is known of the data. A condition on what is not known does not hold.
    """
    given = bool(config.sampler.points)
    why = "sampler.points of the config" if given else "the config's own values"
    chosen = [
        FirstPoint(name=f"{OWN}-{number}" if given else OWN, why=why, values=values)
        for number, values in enumerate(first_points(config), 1)
    ]
    dropped = []
    for point in points:
        reason, values = _fitted(config, point, facts)
        twin = next((other.name for other in chosen if _same(config, other.values, values)), None)
        if reason is None and twin is not None:
            reason = f"in this space it is {twin}"
        if reason is not None:
            dropped.append((point.name, reason))
        else:
            chosen.append(FirstPoint(name=point.name, why=point.why, values=values))
    return Portfolio(tuple(chosen), tuple(dropped))


def _same(config: SearchConfig, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two points are the same trial."""
    first, second = (
        walk(config.space, config.own, ({**config.own, **p}).get) for p in (one, other)
    )
    return first == second


def _fitted(config: SearchConfig, point: Point, facts: Facts) -> tuple[str | None, dict[str, Any]]:
    """Why a point is not tried, if it is not; and its values in a search's space.

    A value that the space does not hold becomes the nearest that it does; one without a nearest
    becomes the config's own. The optimizer, and whether any layer but the head trains, decide what
    a learning rate means: a point that would need another of these is not tried.
    """
    unmet = {fact: each for fact, each in point.when.items() if not hold({fact: each}, facts)}
    if unmet:
        found = ", ".join(f"{fact} is {facts.get(fact, 'not known')}" for fact in unmet)
        return f"only where {describe(unmet)}; {found}", {}
    own, wanted, open_keys = config.own, {**config.own, **point.values}, list[str]()

    def draw(key: str) -> Any:
        values = config.space[key]
        found = nearest(key, values, wanted[key])
        if found is None:
            found = own[key]
        if not values.holds(found):
            open_keys.append(key)  # the sampler draws it
        return found

    values = walk(config.space, own, draw)
    trial = {**own, **values}
    optimizer, depth = (point.values.get(key, trial[key]) for key in (OPTIMIZER, DEPTH))
    if optimizer != trial[OPTIMIZER]:
        return f"{OPTIMIZER} is {trial[OPTIMIZER]} here, and its rate is for {optimizer}", {}
    if (depth == 0) != (trial[DEPTH] == 0):
        return f"{DEPTH} is {trial[DEPTH]} here, and its rate is for {depth}", {}
    if LR in values and point.lr_at_batch is not None:
        size = min(trial[BATCH], int(facts.get("images", trial[BATCH])))
        rate = scaled_rate(point.values[LR], size / point.lr_at_batch, optimizer)
        values[LR] = nearest(LR, config.space[LR], rate)
    return None, {key: value for key, value in values.items() if key not in open_keys}


def scaled_rate(rate: float, factor: float, optimizer: str) -> float:
    """The learning rate for a batch that is `factor` times as large.

    Linear with SGD (Goyal et al. 2017), as the square root with Adam and AdamW (Malladi et al.
    2022).
    """
    if factor == 1:
        return rate
    return float(f"{rate * (factor if optimizer == 'sgd' else math.sqrt(factor)):.3g}")


def nearest(key: str, values: Values, wanted: Any) -> Any:
    """The value of a space that is nearest to another; None if there is no nearer and farther.

    Of numbers above 0 it is the nearest by factors, as rates and sizes are.
    """
    if values.holds(wanted):
        return wanted
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return None
    if isinstance(values, Choices):
        numbers = [v for v in values.choices if not isinstance(v, bool | str)]
        return min(numbers, key=lambda number: _distance(number, wanted), default=None)
    return _within(values, wanted, whole=is_whole(key))


def _within(values: Range, wanted: float, *, whole: bool) -> float:
    clipped = min(max(wanted, values.low), values.high)
    step = values.step or (1 if whole else None)
    if step is not None:
        last = math.floor((values.high - values.low) / step + 1e-9)
        clipped = values.low + step * min(round((clipped - values.low) / step), last)
    return int(clipped) if whole else clipped


def _distance(one: float, other: float) -> float:
    if one > 0 and other > 0:
        return abs(math.log(one / other))
    return abs(one - other)
