"""The dotted keys of a config, with their types."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel

from trainable.config import TrialConfig


def keys_of(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every dotted key of a config, with its type."""
    keys: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= keys_of(kind, f"{prefix}{name}.")
        else:
            keys[prefix + name] = kind
    return keys


TRIAL_KEYS: Final = keys_of(TrialConfig)
"""Every dotted key of a trial, with its type."""


SEARCHABLE_DATA: Final = {"data.image_size", "data.mirror"}
"""What may be searched of the data. All else says which images a trial is trained on and compared
by: one trial's validation images could be another's training images."""


def why_not_searched(key: str) -> str:
    """The reason why a key cannot be searched; empty if it can."""
    if key not in TRIAL_KEYS:
        return "no such key of a trial"
    if key.startswith("objective."):
        return "trials of different objectives cannot be compared"
    if key.startswith("data.") and key not in SEARCHABLE_DATA:
        return f"trials of different images cannot be compared; set {key} itself"
    return ""


def is_whole(key: str) -> bool:
    """Whether a trial's key takes whole numbers only."""
    return TRIAL_KEYS[key] in (int, int | None)


_INSTEAD: Final = {"stem": "model.arch=resnet18_3x3 has the stem for small images"}
"""What there is in place of keys that one may look for, by their last parts."""


def nearest(key: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint for an error message: the known key that is nearest; empty if none is near.

    A last part alone, such as `lr`, is nearest to each key that it is the last part of; with a
    wrong section, as in `train.lr`, to one of them.
    """
    known, last = list(known), key.rpartition(".")[2]
    if last in _INSTEAD:
        return f"; {_INSTEAD[last]}"
    near = [each for each in known if each.endswith(f".{last}")]
    if "." in key or not near:
        near = get_close_matches(key, near or known, 1, cutoff=0.0 if near else 0.5)
    return f"; nearest: {' or '.join(prefix + each for each in near)}" if near else ""
