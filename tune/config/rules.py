"""The first rule that a config breaks, of all that pydantic tells of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError


class Broken(NamedTuple):
    """A rule that is broken.

    Attributes:
        where: The parts of the key's name; none for a rule between keys.
        value: What the key was given.
        rule: The rule, in words.
        kind: Pydantic's name for it.
    """

    where: tuple[str, ...]
    value: Any
    rule: str
    kind: str


def first_broken(error: ValidationError) -> Broken:
    """The first of the rules that are broken."""
    first = error.errors(include_url=False)[0]
    where = tuple(map(str, first["loc"]))
    rule = first["msg"].removeprefix("Value error, ")
    return Broken(where, first["input"], rule, first["type"])
