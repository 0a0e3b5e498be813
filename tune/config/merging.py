"""Several documents as one config: what a later one says of a key replaces what there was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any, Final

from tune.config.space import flatten, flatten_space

_SPACE: Final = "space"
_LIST: Final = frozenset({"choices"})
_RANGE: Final = frozenset({"low", "high", "log", "step"})


def merge(documents: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    """A config of several documents, each on top of those before it.

    Mappings are merged, all else replaces what was there. In the space, a list replaces a range and
    a range a list. A part alone, such as `space.optim.lr.high=1`, changes that part, and `when`
    stays until there is another.
    """
    return reduce(_on_top, map(_with_flat_space, documents), {})


def keys_in(document: Mapping[Any, Any]) -> set[str]:
    """The dotted keys that a document sets, those of its space with `space.` before them."""
    space = flatten_space(document.get(_SPACE))
    searched = {f"{_SPACE}.{key}" for key in space} if isinstance(space, Mapping) else {_SPACE}
    rest = {key: value for key, value in document.items() if key != _SPACE}
    return {*flatten(rest), *(searched if _SPACE in document else ())}


def _with_flat_space(document: Mapping[Any, Any]) -> dict[Any, Any]:
    """A document whose space is by dotted key, however it is written."""
    if _SPACE not in document:
        return dict(document)
    return {**document, _SPACE: flatten_space(document[_SPACE])}


def _on_top(base: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    merged = dict(_merged(base, over))
    before, after = base.get(_SPACE), merged.get(_SPACE)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        merged[_SPACE] = {key: after[key] for key in _by_section([*before], [*after])}
    return merged


def _by_section(keys: list[str], all_keys: Iterable[str]) -> list[str]:
    """The keys of a space, new ones after those of their section: it is the order of draws."""
    for key in (each for each in all_keys if each not in {*keys}):
        section = key.partition(".")[0]
        places = [place for place, other in enumerate(keys) if other.partition(".")[0] == section]
        keys.insert(max(places, default=len(keys) - 1) + 1, key)
    return keys


def _merged(base: Any, over: Any, key: Any = None) -> Any:
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    merged = _searched if key == _SPACE else _merged
    return {**base, **{name: merged(base.get(name), over[name], name) for name in over}}


def _searched(base: Any, over: Any, _: Any) -> Any:
    """What is searched of a key."""
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    other = (_RANGE if over.keys() & _LIST else set()) | (_LIST if over.keys() & _RANGE else set())
    return {**{name: value for name, value in base.items() if name not in other}, **over}
