"""The values that a key may be searched over: a range of numbers, or a list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Self

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from trainable.config import Config
from tune.config.conditions import When
from tune.config.keys import TRIAL_KEYS


class Searched(Config):
    """What is searched of a key; the base of ranges and lists."""

    when: When = Field(default_factory=dict)
    """The conditions under which a trial has the key at all, by the values of its other keys.
    Where one does not hold, the trial has the config's own value."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without conditions it is written as it was before there were any."""
        content: dict[str, Any] = handler(self)
        return content if self.when else {k: v for k, v in content.items() if k != "when"}


class Range(Searched):
    """Numbers from `low` to `high`, both included; whole ones if the key takes whole numbers."""

    low: float
    """The least value."""
    high: float
    """The greatest value."""
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


class Choices(Searched):
    """A list, of which one value is chosen; `{values: [...], when: ...}` with conditions."""

    choices: tuple[str | bool | int | float, ...] = Field(min_length=1)
    """The values, one of which is chosen."""

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


_COUNTED: Final = 10_000
"""The number of values of a range above which it counts as endless."""
_LEAF: Final = {"low", "high", "choices", "values"}
"""Keys by which a mapping says what is searched."""


def flatten_space(space: Any) -> Any:
    """`{"optim": {"lr": {"low": ...}}}` as `{"optim.lr": {"low": ...}}`; lists are choices."""
    return dict(_leaves(space)) if isinstance(space, Mapping) else space


def enumerated(values: Range | Choices, *, whole: bool) -> list[Any] | None:
    """Every value that is searched; None where there are too many to count.

    Args:
        values: What is searched.
        whole: Whether the key takes whole numbers only.
    """
    if isinstance(values, Choices):
        return list(values.choices)
    if values.low == values.high:
        return [int(values.low) if whole else values.low]
    step = values.step or (1 if whole else None)
    if step is None or (values.high - values.low) / step > _COUNTED:
        return None
    count = math.floor((values.high - values.low) / step + 1e-9) + 1
    found = [values.low + number * step for number in range(count)]
    return [int(value) for value in found] if whole else found


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"optim": {"lr": 1}}` as `{"optim.lr": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _is_leaf(key: str, value: Mapping[str, Any]) -> bool:
    """Whether a mapping says what is searched of a key, and holds no keys of its own."""
    return key in TRIAL_KEYS or bool(value.keys() & _LEAF)


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, list | tuple):
            yield f"{prefix}{key}", {"choices": value}
        elif isinstance(value, Mapping) and not _is_leaf(f"{prefix}{key}", value):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, Mapping) and "values" in value:
            renamed = {"choices" if name == "values" else name: v for name, v in value.items()}
            yield f"{prefix}{key}", renamed
        else:
            yield f"{prefix}{key}", value
