"""A space whose keys may have conditions: which keys a trial has, and how many trials there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import islice, pairwise
from typing import Any, Final

from tune.config.conditions import Bounds, OneOf, describe, hold
from tune.config.keys import TRIAL_KEYS, is_whole, nearest
from tune.config.space import Choices, Range, Values, enumerated

Space = Mapping[str, Values]
"""What is searched, by dotted key."""

UNCONDITIONAL: Final = ("model.arch", "model.weights")
"""Keys that every trial has or none: what they name is checked and hashed before the first."""


_REPEATED: Final = ("train.seed", "train.stop_after", "data.fold")
"""Keys to which the confirmation and the refit give other values."""


def ordered(space: Space) -> list[str]:
    """The keys as they are decided: each after those that its conditions name, else as given.

    Raises:
        ValueError: Conditions lead from a key back to itself.
    """
    graph = {key: [each for each in space[key].when if each in space] for key in space}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise ValueError(f"space: the conditions of {cycle} lead back to the first") from error
    found: dict[str, None] = {}

    def add(key: str) -> None:
        for parent in graph[key]:
            add(parent)
        found.setdefault(key)

    for key in space:
        add(key)
    return list(found)


def walk(space: Space, own: Mapping[str, Any], draw: Callable[[str], Any]) -> dict[str, Any]:
    """The values of a trial: those of the keys that it has.

    Args:
        space: What is searched.
        own: The config's own values, which a trial has where it does not have the key.
        draw: Gives the value of a key.
    """
    found: dict[str, Any] = {}
    for key in ordered(space):
        if hold(space[key].when, {**own, **found}):
            found[key] = draw(key)
    return found


def planned(space: Space, own: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """A point less the values of keys that its trial will not have."""
    found: dict[str, Any] = {}
    unsure = set[str]()  # keys that are drawn later
    for key in ordered(space):
        when = {name: each for name, each in space[key].when.items() if name not in unsure}
        if not hold(when, {**own, **found}):
            continue
        if key in point:
            found[key] = point[key]
        if key not in point or when.keys() != space[key].when.keys():
            unsure.add(key)
    return found


def is_whole_trial(space: Space, own: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether values are those of all keys that a trial has, and of no other."""
    try:
        return walk(space, own, params.__getitem__).keys() == params.keys()
    except KeyError:
        return False


def every_trial(space: Space, own: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The values of every trial of a space, one after the other.

    Raises:
        OverflowError: A key takes more values than can be counted.
    """
    keys = ordered(space)

    def below(depth: int, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if depth == len(keys):
            yield found
            return
        key = keys[depth]
        if not hold(space[key].when, {**own, **found}):
            yield from below(depth + 1, found)
            return
        values = enumerated(space[key], whole=is_whole(key))
        if values is None:
            raise OverflowError(key)
        for value in values:
            yield from below(depth + 1, {**found, key: value})

    return below(0, {})


def samples(space: Space, own: Mapping[str, Any], keys: set[str]) -> Iterator[dict[str, Any]]:
    """The values of some keys in every trial; of an endless range, one of each kind.

    Args:
        space: What is searched.
        own: The config's own values.
        keys: Searched keys; those that their conditions name come with them.
    """
    wanted, named = set[str](), keys & space.keys()
    while named:
        wanted |= named
        named = {name for key in named for name in space[key].when if name in space} - wanted
    conditions = [each for key in wanted for each in space[key].when.items()]

    def listed(key: str) -> Choices:
        found = possible_values(key, space[key], [each for name, each in conditions if name == key])
        return Choices(choices=tuple(found), when=space[key].when)

    return every_trial({key: listed(key) for key in space if key in wanted}, own)


def count_trials(space: Space, own: Mapping[str, Any], most: int) -> int:
    """How many different trials a space holds, or `most` if it is more."""
    if not space:
        return most
    counted = (enumerated(v, whole=is_whole(key)) for key, v in space.items() if not v.when)
    if any(values is None for values in counted):
        return most
    try:
        return sum(1 for _ in islice(every_trial(space, own), most))
    except OverflowError:
        return most


def possible(space: Space, own: Mapping[str, Any], key: str) -> list[Any]:
    """The values that a trial may have of a key: of a range too large to count, its ends."""
    if key not in space:
        return [own[key]]
    values = space[key]
    found = enumerated(values, whole=is_whole(key))
    if found is None and isinstance(values, Range):
        found = [values.low, values.high]
    assert found is not None
    return [*found, own[key]] if values.when and own[key] not in found else found


def check_conditions(space: Space, own: Mapping[str, Any]) -> None:
    """Check that every key can be part of a trial.

    Raises:
        ValueError: A condition names no key of a trial or can never hold, or it names the key
            itself, at last.
    """
    _check_names(space)
    ordered(space)
    for key, values in space.items():
        for other, condition in values.when.items():
            if not _may_hold(condition, other, space, own):
                has = (
                    f"is searched over {in_words(space[other])}"
                    if other in space
                    else f"is {own[other]}"
                )
                raise ValueError(
                    f"space.{key}.when: {other} {has}, so the condition never holds "
                    f"({describe({other: condition})}); change it, or search {other}"
                )


def _check_names(space: Space) -> None:
    """Check that conditions stand where they may, and name keys that they may."""
    for key, values in space.items():
        if values.when and key in UNCONDITIONAL:
            raise ValueError(f"space.{key}.when: every trial has {key}; search it without one")
        for other in values.when:
            if other in _REPEATED:
                raise ValueError(
                    f"space.{key}.when: {other} differs when the best run again, and {key} must "
                    "not: name another key"
                )
            if other not in TRIAL_KEYS:
                hint = nearest(other, TRIAL_KEYS)
                raise ValueError(f"space.{key}.when: {other} is no key of a trial{hint}")


def without_idle(space: Space, own: Mapping[str, Any], fixed: set[str]) -> dict[str, Values]:
    """A space less the keys that no trial has any more since others were fixed."""

    def idle(values: Values) -> bool:
        return any(
            other in fixed and not condition.holds(own.get(other))
            for other, condition in values.when.items()
        )

    dropped = {key for key, values in space.items() if idle(values)}
    rest = {key: values for key, values in space.items() if key not in dropped}
    return without_idle(rest, own, fixed | dropped) if dropped else rest


def _may_hold(condition: Bounds | OneOf, key: str, space: Space, own: Mapping[str, Any]) -> bool:
    """Whether a key of a trial may ever have a value for which a condition holds."""
    values = space.get(key)
    candidates = possible(space, own, key)
    if values is not None:
        candidates = [*candidates, *possible_values(key, values, [condition])]
    return any(map(condition.holds, candidates))


def possible_values(
    key: str, values: Values, conditions: Sequence[Bounds | OneOf]
) -> list[str | bool | int | float]:
    """The values of a key; of an endless range, enough for each condition that may hold to hold."""
    found = enumerated(values, whole=is_whole(key))
    if found is not None:
        return found
    assert isinstance(values, Range)
    named = [end for each in conditions for end in each.named if values.holds(end)]
    ends = sorted({values.low, values.high, *named})
    # Between two of these ends a condition holds everywhere or nowhere.
    return [*ends, *(low / 2 + high / 2 for low, high in pairwise(ends))]


def in_words(values: Range | Choices) -> str:
    """What is searched of a key, in words, with its conditions."""
    if isinstance(values, Choices):
        shown = ", ".join(map(str, values.choices))
    else:
        step = f" in steps of {values.step:g}" if values.step is not None else ""
        shown = f"{values.low:g} to {values.high:g}{step}{', by factors' if values.log else ''}"
    return f"{shown}, if {describe(values.when)}" if values.when else shown
