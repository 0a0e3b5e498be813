"""A name in a registry stands for one thing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.plugins import use_plugin
from trainable.data.sources import digits
from trainable.judging.metrics import validation_metric
from trainable.registries import METRICS, SOURCES
from tune.config.registries import SAMPLERS
from tune.strategy.samplers import sampler


def theirs(*_: Any) -> Any:
    raise NotImplementedError


def test_no_plugin_takes_the_name_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plugin("tests.helpers.plugins.stripes", monkeypatch)
    before = SAMPLERS["tpe"], METRICS["val_acc"], SOURCES["digits"]
    with pytest.raises(ValueError, match=r"sampler\.name=tpe is registered already, by tune\."):
        sampler("tpe", joint=True)(theirs)
    with pytest.raises(ValueError, match=r"metric=val_acc is registered already, by trainable\."):
        validation_metric("val_acc", "accuracy", "maximize")(theirs)
    with pytest.raises(ValueError, match=r"source=digits is registered already, by trainable\."):
        SOURCES.register("digits")(theirs)
    assert (SAMPLERS["tpe"], METRICS["val_acc"], SOURCES["digits"]) == before


def test_a_module_that_is_loaded_again_registers_the_same_again() -> None:
    assert SOURCES.register("digits")(digits) is digits
    assert validation_metric("val_acc", "accuracy", "maximize", is_share=True)(
        METRICS["val_acc"].of
    )
