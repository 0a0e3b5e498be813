"""Every key of a config: what it takes, its default and what it means, read from the models."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trainable.config import Form, Unit
from trainable.registries import Registry
from tune.config.conditions import Bounds
from tune.config.durations import parse_duration
from tune.config.keys import why_not_searched
from tune.config.points import Point
from tune.config.schema import SearchConfig
from tune.config.space import Choices, Range

_WORDS: Final = {float: "number", int: "whole number", str: "text", Path: "path", dict: "mapping"}
_NUMBERS: Final = ("number", "whole number")
_ENDLESS: Final = 10**9
"""A bound that only keeps what is no number of a clock or a disk out, and is not shown."""
_BOUNDS: Final = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}
_PARTS: Final[tuple[tuple[str, str, type[BaseModel]], ...]] = (
    ("A range of the space", "space.KEY.", Range),
    ("A list of the space", "space.KEY.", Choices),
    ("A condition of the space", "space.KEY.when.KEY.", Bounds),
    ("A point of a portfolio", "strategy.portfolio.N.", Point),
)
"""What is written below keys that hold no single value."""


@dataclass(frozen=True)
class Key:
    """A key of a config.

    Attributes:
        name: Its dotted name.
        takes: What it takes, in words: type or choices, bounds and unit.
        default: Its default as YAML; empty where there is none.
        meaning: What it means.
        searched: Whether it can be searched.
    """

    name: str
    takes: str
    default: str
    meaning: str
    searched: bool


@dataclass(frozen=True)
class Section:
    """Keys that belong together.

    Attributes:
        title: The heading: mostly what their names begin with.
        meaning: What they are about.
        keys: In the order of the model.
    """

    title: str
    meaning: str
    keys: tuple[Key, ...]


def sections() -> list[Section]:
    """All keys, by section; last what is written below keys that hold no single value."""
    fields = SearchConfig.model_fields
    models = {name: field.annotation for name, field in fields.items() if _is_model(field)}
    alone = {name: field for name, field in fields.items() if name not in models}
    return [
        Section("The search", _one_line(SearchConfig.__doc__), tuple(_keys("", alone))),
        *(_section(name, f"{name}.", model) for name, model in models.items()),
        *(_section(*part) for part in _PARTS),
    ]


def all_keys() -> dict[str, Key]:
    """All keys by name, in the order of their sections."""
    return {key.name: key for section in sections() for key in section.keys}


def fitting(pattern: str) -> list[Key]:
    """The keys that a pattern fits: a part of the name, or with `*`, `?` or `[` all of it.

    Where it fits no name, those are found whose meaning holds it, in whatever case.
    """
    keys, wanted = all_keys().values(), pattern.lower()
    if set(wanted) & set("*?["):
        return [key for key in keys if fnmatch(key.name.lower(), wanted)]
    named = [key for key in keys if _plain(wanted) in _plain(key.name)]
    return named or [key for key in keys if wanted in f"{key.takes} {key.meaning}".lower()]


def _plain(name: str) -> str:
    """A name in which blanks, hyphens and underscores are the same."""
    return re.sub(r"[ _-]", " ", name.lower())


def _section(title: str, prefix: str, model: Any) -> Section:
    return Section(title, _one_line(model.__doc__), tuple(_keys(prefix, model.model_fields)))


def _keys(prefix: str, fields: Mapping[str, FieldInfo]) -> Iterator[Key]:
    for name, field in fields.items():
        shown = f"{prefix}{'values' if name == 'choices' else name}"  # as the space is written
        yield Key(
            name=shown,
            takes=_takes(field),
            default=_default(field),
            meaning=_one_line(field.description),
            searched=not why_not_searched(shown),
        )


def _is_model(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if field.is_required() or value is None or value in ({}, (), ""):
        return ""
    plain = list(value) if isinstance(value, tuple) else value
    shown = yaml.safe_dump(plain, default_flow_style=True, width=1000).strip()
    return shown.removesuffix("\n...")


def _takes(field: FieldInfo) -> str:
    """What a key takes: its types or choices, then its bounds."""
    found = _Taken()
    found.add(field.annotation, field.metadata)
    unit = f" ({found.unit})" if found.unit else ""
    if found.form:
        return found.form
    words = [f"{word}{unit}" if word in _NUMBERS else word for word in dict.fromkeys(found.words)]
    *others, last = words
    either = f"{', '.join(others)} or {last}" if others else last
    return ", ".join(filter(None, (either, found.between)))


class _Taken:
    """What has been found in an annotation, and what is within it."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.unit = self.form = ""
        self._bounds: dict[str, float] = {}

    @property
    def between(self) -> str:
        """The bounds in words."""
        shown = {word: f"{end:,}" for word, end in self._bounds.items()}
        if shown.keys() == {"at least", "at most"}:
            return f"{shown['at least']} to {shown['at most']}"
        return " and ".join(f"{word} {end}" for word, end in shown.items())

    def add(self, kind: Any, metadata: Sequence[Any] = ()) -> None:
        """Note a type, with what stands beside it."""
        for each in metadata:
            self._note(each)
        registries = [each for each in map(_registry, metadata) if each is not None]
        if registries:
            self.words += [f"`{name}`" for name in registries[0].names()]
        elif any(getattr(each, "func", None) is parse_duration for each in metadata):
            self.words += ["number", "a duration such as `90s`, `30m`, `1h30m`, `2d`"]
        else:
            self._add_plain(kind)

    def _add_plain(self, kind: Any) -> None:
        origin, inner = get_origin(kind), get_args(kind)
        if origin is Annotated:
            self.add(inner[0], inner[1:])
        elif origin in (Union, types.UnionType):
            for each in inner:
                self.add(each)
        elif origin is Literal:
            self.words += [f"`{value}`" for value in inner]
        elif origin is tuple:
            of = _Taken()
            of.add(inner[0])
            self.words.append(f"list of {' or '.join(of.words)}")
        elif kind is bool:
            self.words += ["`true`", "`false`"]
        elif kind is not type(None):
            self.words.append(_WORDS.get(origin or kind, "mapping"))

    def _note(self, metadata: Any) -> None:
        for each in getattr(metadata, "metadata", [metadata]):  # a field within an annotation
            if isinstance(each, Unit):
                self.unit = each.name
            if isinstance(each, Form):
                self.form = each.words
            for kind, word in _BOUNDS.items():
                if (
                    isinstance(each, kind)
                    and (end := getattr(each, kind.__name__.lower())) < _ENDLESS
                ):
                    self._bounds[word] = end


def _registry(metadata: Any) -> Registry[Any] | None:
    """The registry whose names a validator lets through."""
    owner = getattr(getattr(metadata, "func", None), "__self__", None)
    return owner if isinstance(owner, Registry) else None
