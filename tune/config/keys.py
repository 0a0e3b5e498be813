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


def is_whole(key: str) -> bool:
    """Whether a trial's key takes whole numbers only."""
    return TRIAL_KEYS[key] in (int, int | None)


def nearest(key: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint for an error message: the known key that is nearest; empty if none is near."""
    near = get_close_matches(key, list(known), 1, cutoff=0.5)
    return f"; nearest: {prefix}{near[0]}" if near else ""
