"""A YAML file, or a `key=value` word, as plain values: bounded before anything recursive reads it.

Both come from outside. PyYAML, OmegaConf and Python's own numbers fail on some of what a document
may hold, a few by ending the process; all of that is refused here, in one line.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    ScalarEvent,
    YAMLError,
)

from tune.base.errors import ConfigError, squeeze

MOST: Final = 1_000_000
"""The greatest length of a document in characters, with its aliases spelled out."""
DEEPEST: Final = 20
"""The greatest number of lists and mappings inside each other."""
_VALUE: Final = 100
"""The characters that a value counts as, beside its own: 10,000 values are the most."""
LARGEST: Final = 2**63 - 1
"""The largest whole number, of either sign, that a database can hold."""

_UNREADABLE: Final = (
    *(YAMLError, OmegaConfBaseException, OSError),
    *(ValueError, TypeError, RecursionError),
)
"""What reading raises: ValueError also for text that is no UTF-8 and for dates that are none,
RecursionError for OmegaConf's interpolations inside each other."""


def read_file(path: Path, source: str, *, quoted: bool = True) -> dict[Any, Any]:
    """The keys and values of a YAML file.

    Args:
        path: The file.
        source: The file as errors name it, such as `--config digits`.
        quoted: Whether an error may quote what the file holds.

    Raises:
        ConfigError: It cannot be read, or holds no keys and values.
    """

    def load() -> DictConfig | ListConfig:
        with path.open("rb") as file:
            text = file.read(MOST + 1).decode()
        _check_structure(text)
        return OmegaConf.load(io.StringIO(text))

    return _plain(load, source, quoted=quoted)


def read_word(word: str) -> dict[Any, Any]:
    """The keys and the value of a word such as `optim.lr=1e-3`.

    Raises:
        ConfigError: It is written in another way.
    """
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise ConfigError(f"{word!r}: an override is written key=value, such as optim.lr=1e-3")

    def load() -> DictConfig | ListConfig:
        if key.count(".") + key.count("[") > DEEPEST:
            raise ValueError(f"more than {DEEPEST} keys inside each other")
        _check_structure(value)
        return OmegaConf.from_dotlist([word])

    return _plain(load, squeeze(word))


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted key, and every key of a mapping with its own."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            inner = f"{key}.{squeeze(name)}" if key else squeeze(name)
            yield inner, name
            yield from leaves(value, inner)
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, key)
    else:
        yield key, node


def _plain(
    load: Callable[[], DictConfig | ListConfig], source: str, *, quoted: bool = True
) -> dict[Any, Any]:
    try:
        content = OmegaConf.to_container(load())
        for key, value in leaves(content):
            _check_value(key, value)
    except _UNREADABLE as error:
        shown = quoted or isinstance(error, OSError)
        reason = squeeze(error, 400) if shown else type(error).__name__
        raise ConfigError(f"{source}: not usable as YAML: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: must hold keys and values, not a list")
    return content


def _check_structure(text: str) -> None:
    """Check a document's size by its events, which PyYAML makes without recursion.

    Raises:
        ValueError: It is too large, too deep, or grows too large by its aliases.
        YAMLError: It is no YAML.
    """
    if len(text) > MOST:
        raise ValueError(f"it has more than {MOST:,} characters")
    counts = _Counts()
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        counts.add(event)


class _Counts:
    """The size of a document so far, the lists and mappings that are open, and the anchors."""

    def __init__(self) -> None:
        self._total = 0
        self._open: list[tuple[str | None, int]] = []
        self._sizes: dict[str, int] = {}

    def add(self, event: Event) -> None:
        """Count what an event tells of."""
        if isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in self._open):
                raise ValueError(f"the alias *{event.anchor} lies within what it repeats")
            self._total += self._sizes.get(event.anchor or "", _VALUE)
        elif isinstance(event, CollectionStartEvent):
            self._open.append((event.anchor, self._total))
            self._total += _VALUE
        elif isinstance(event, CollectionEndEvent):
            anchor, before = self._open.pop()
            self._sizes |= {} if anchor is None else {anchor: self._total - before}
        elif isinstance(event, ScalarEvent):
            size = _VALUE + len(event.value)
            self._total += size
            self._sizes |= {} if event.anchor is None else {event.anchor: size}
        if len(self._open) > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists and mappings inside each other")
        if self._total > MOST:
            raise ValueError(
                f"with its aliases spelled out it has more than {MOST // _VALUE:,} values or "
                f"{MOST:,} characters"
            )


def _check_value(key: str, value: Any) -> None:
    """Check that a value can be written into a path, JSON and a database.

    Raises:
        ValueError: It cannot.
    """
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"{key} is a number of {value.bit_length()} bits, and 63 are the most")
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError(f"{key}={squeeze(value)} holds a NUL character")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"{key}={squeeze(value)} is not UTF-8")
