"""Plugins as a user writes them: one module each, which touches nothing else of the packages."""

from __future__ import annotations

import sys

import pytest

from trainable import registries
from trainable.registries import PLUGINS, Registry
from tune.config import registries as strategy_registries


def use_plugin(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """List a module in `TUNE_PLUGINS` until a test ends; then forget what it registers."""
    known = (*vars(registries).values(), *vars(strategy_registries).values())
    for registry in (value for value in known if isinstance(value, Registry)):
        assert len(registry) > 0  # what comes with the package is registered by now
        monkeypatch.setattr(registry, "_things", dict(registry._things))
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setenv(PLUGINS, module)
