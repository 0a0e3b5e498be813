"""The values that a key may be searched over: a range of numbers, or a list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from trainable.config import Config


class Range(Config):
    """Numbers from `low` to `high`, both included; whole ones if the key takes whole numbers."""

    low: float
    high: float
    log: bool = False
    """Whether the logarithm is searched, for what varies by factors, such as a learning rate."""
    step: float | None = Field(default=None, gt=0)
    """The distance between values, which excludes `log`; by default any value is possible."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low={self.low:g} must not be above high={self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"with log, low={self.low:g} must be above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        return self

    def holds(self, value: object) -> bool:
        """Whether `value` is one of these."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return self.low <= value <= self.high and math.isclose(steps, round(steps), abs_tol=1e-9)


class Choices(Config):
    """A list, of which one value is chosen."""

    choices: tuple[str | bool | int | float, ...] = Field(min_length=1)

    @field_validator("choices")
    @classmethod
    def _distinct(cls, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        if len({repr(choice) for choice in choices}) < len(choices):
            raise ValueError("choices must differ from each other")
        return choices

    def holds(self, value: object) -> bool:
        """Whether `value` is one of these."""
        return value in self.choices


def _kind(value: Any) -> str:
    has_choices = isinstance(value, Choices) or (isinstance(value, Mapping) and "choices" in value)
    return "Choices" if has_choices else "Range"


Values = Annotated[
    Annotated[Range, Tag("Range")] | Annotated[Choices, Tag("Choices")], Discriminator(_kind)
]
"""The values of a key of the space."""


def flatten_space(space: Any) -> Any:
    """`{"optim": {"lr": {"low": ...}}}` as `{"optim.lr": {"low": ...}}`; lists are choices."""
    return dict(_leaves(space)) if isinstance(space, Mapping) else space


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"optim": {"lr": 1}}` as `{"optim.lr": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, list | tuple):
            yield f"{prefix}{key}", {"choices": value}
        elif isinstance(value, Mapping) and not value.keys() & {"low", "high", "choices"}:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
