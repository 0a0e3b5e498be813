"""Conditions: `when: {model.unfreeze_depth: {ge: 1}, optim.name: [sgd]}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from trainable.config import Config

Value = str | bool | int | float
"""One value of a key."""


class Bounds(Config):
    """Numbers at least `ge`, above `gt`, at most `le`, below `lt`, as far as these are given."""

    ge: float | None = None
    """At least so much."""
    gt: float | None = None
    """More than so much."""
    le: float | None = None
    """At most so much."""
    lt: float | None = None
    """Less than so much."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if not self.named:
            raise ValueError("a condition is a value, a list of values, or ge, gt, le or lt")
        return self

    @property
    def named(self) -> list[float]:
        """The numbers that are given."""
        given = (self.ge, self.gt, self.le, self.lt)
        return [end for end in given if end is not None]

    def holds(self, value: object) -> bool:
        """Whether a value lies within."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def __str__(self) -> str:
        words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
        given = self.model_dump(exclude_none=True).items()
        return " and ".join(f"{words[name]} {end:g}" for name, end in given)


class OneOf(Config):
    """A list of values, of which it has to be one."""

    one_of: tuple[Value, ...]
    """The values."""

    @property
    def named(self) -> list[Any]:
        """The values that are given."""
        return [*self.one_of]

    def holds(self, value: object) -> bool:
        """Whether a value is in the list; true is not 1."""
        return any(value == one and type(value) in _kinds(one) for one in self.one_of)

    def __str__(self) -> str:
        return " or ".join(map(str, self.one_of))


def _kinds(value: Value) -> tuple[type, ...]:
    return (int, float) if type(value) in (int, float) else (type(value),)


def _plain(condition: Any) -> Any:
    """A condition as it may be written: a single value is a list of one."""
    if isinstance(condition, list | tuple):
        return {"one_of": condition}
    return {"one_of": [condition]} if isinstance(condition, Value) else condition


def _kind(condition: Any) -> str:
    is_list = isinstance(condition, OneOf) or (
        isinstance(condition, Mapping) and "one_of" in condition
    )
    return "OneOf" if is_list else "Bounds"


Condition = Annotated[
    Annotated[Bounds, Tag("Bounds")] | Annotated[OneOf, Tag("OneOf")],
    Discriminator(_kind),
    BeforeValidator(_plain),
]
"""What a value has to be."""

When = dict[str, Condition]
"""What the values of some keys have to be, all of them."""


def hold(when: Mapping[str, Bounds | OneOf], values: Mapping[str, Any]) -> bool:
    """Whether all conditions hold.

    Args:
        when: The conditions.
        values: By key; a condition on one that is not there does not hold.
    """
    return all(condition.holds(values.get(key)) for key, condition in when.items())


def describe(when: Mapping[str, Bounds | OneOf]) -> str:
    """The conditions in words."""
    return " and ".join(f"{key} is {condition}" for key, condition in when.items())
