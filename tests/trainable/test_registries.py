"""A name in a registry stands for one thing."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

from tests.helpers.commands import REPOSITORY
from tests.helpers.plugins import use_plugin
from tests.helpers.processes import run
from trainable.data.sources import digits
from trainable.judging.metrics import validation_metric
from trainable.registries import METRICS, PLUGINS, SOURCES
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


EVERY = """
import json
from trainable import registries as below
from tune.config import registries as above

things = [*vars(below).values(), *vars(above).values()]
every = [each for each in things if isinstance(each, below.Registry)]
print(json.dumps({each.key: [each.names(), list(each)] for each in every}))
"""


def test_the_names_that_are_listed_are_those_that_are_registered() -> None:
    """In a process in which no plugin has added any."""
    environment = {key: value for key, value in os.environ.items() if key != PLUGINS}
    done = run([sys.executable, "-c", EVERY], env=environment, cwd=REPOSITORY)
    found = json.loads(done.stdout)
    assert found.keys() == {
        *("objective.metric", "augment.policy", "data.source"),
        *("model.arch", "sampler.name", "scheduler.name"),
    }
    for key, (listed, registered) in found.items():
        hint = f"{key}: list the name in trainable/registries.py or tune/config/registries.py"
        assert sorted(listed) == sorted(registered), hint


def test_a_module_that_is_loaded_again_registers_the_same_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_plugin("tests.helpers.plugins.stripes", monkeypatch)  # and what is registered is forgotten
    assert SOURCES.register("digits")(digits) is digits
    assert validation_metric("val_acc", "accuracy", "maximize")(METRICS["val_acc"].of)
