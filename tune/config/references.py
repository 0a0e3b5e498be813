"""Values that refer to others of the same config: `${optim.lr}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tune.base.errors import ConfigError, squeeze

_REFERENCE: Final = re.compile(r"\$\{([\w.-]+)\}")
_LONGEST: Final = 10_000
"""The greatest length of a text that refers to others: it might double with each."""
_NOTHING: Final = object()
_DEEPEST: Final = 20
"""The greatest number of references that lead from one to the next."""


def resolve(content: Mapping[Any, Any]) -> dict[Any, Any]:
    """A config with each reference replaced by the value that it names.

    OmegaConf's own interpolations read the environment as well, call functions and have no bound.

    Raises:
        ConfigError: A reference does not lead to a single value of the config.
    """
    resolver = _Resolver(content)
    return {key: resolver.resolved(value, str(key)) for key, value in content.items()}


class _Resolver:
    def __init__(self, content: Mapping[Any, Any]) -> None:
        self._content, self._known = content, dict[str, Any]()

    def resolved(self, node: Any, key: str, depth: int = 0) -> Any:
        """A node without references, which `depth` others have led to."""
        if isinstance(node, Mapping):
            return {name: self.resolved(each, f"{key}.{name}") for name, each in node.items()}
        if isinstance(node, list):
            return [self.resolved(each, key) for each in node]
        if not isinstance(node, str) or "${" not in node:
            return node
        try:
            return self._text(node, depth)
        except ValueError as error:
            raise ConfigError(f"{key}={squeeze(node)}: {error}") from error

    def _text(self, text: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} references lead to each other, or to itself")
        if whole := _REFERENCE.fullmatch(text):
            return self._target(whole[1], depth)
        if "${" in _REFERENCE.sub("", text):
            raise ValueError(
                "a config may refer to its own keys, such as ${optim.lr}, and to nothing else"
            )
        found = _REFERENCE.sub(lambda reference: str(self._target(reference[1], depth)), text)
        if len(found) > _LONGEST:
            raise ValueError(f"it becomes longer than {_LONGEST:,} characters")
        return found

    def _target(self, key: str, depth: int) -> Any:
        if key not in self._known:
            node = _find(self._content, key)
            if node is _NOTHING:
                raise ValueError(f"the config sets no key {key}")
            if isinstance(node, Mapping | list):
                raise ValueError(f"{key} has several values; name one of them")
            is_reference = isinstance(node, str) and "${" in node
            self._known[key] = self._text(node, depth + 1) if is_reference else node
        return self._known[key]


def _find(node: Any, key: str) -> Any:
    """What a dotted key names, whether it is written as `a: {b: 1}` or as `a.b: 1`."""
    if not isinstance(node, Mapping):
        return _NOTHING
    if key in node:
        return node[key]
    dots = (place for place, character in enumerate(key) if character == ".")
    found = (_find(node[key[:dot]], key[dot + 1 :]) for dot in dots if key[:dot] in node)
    return next((each for each in found if each is not _NOTHING), _NOTHING)
