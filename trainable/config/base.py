"""The base of every configuration, and types that several sections use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from trainable.registries import Registry


@dataclass(frozen=True)
class Unit:
    """What a key's number counts, for the pages that list the keys.

    Attributes:
        name: Such as `epochs`.
    """

    name: str


@dataclass(frozen=True)
class Form:
    """How a key's value is written, where its type does not say it, for the same pages.

    Attributes:
        words: Such as `mapping of a name to a number`.
    """

    words: str


ImageSize = Annotated[int, Field(ge=8, le=1024), Unit("pixels")]
"""The side of the square that a network sees, in pixels."""


_NUMBERS: Final = (int, float, int | None, float | None)


class Config(BaseModel):
    """Base of every configuration: immutable, hashable, closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        """Python and pydantic take `true` for 1."""
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and wanted in _NUMBERS:
            raise ValueError("should be a number, not true or false")
        return value


def as_tuple(value: Any) -> Any:
    """A single name as a list of one."""
    return (value,) if isinstance(value, str | Path) else value


def registered(registry: Registry[Any]) -> AfterValidator:
    """A validator that takes the names of a registry alone."""
    return AfterValidator(registry.check)
