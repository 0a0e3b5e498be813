"""The comparison with a plain Ray Tune program: what is compared, and how it is summed up."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.processes import run


@pytest.fixture
def versus(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module("versus_plain_ray_tune")


def test_the_default_list_has_the_depths_and_policies_of_the_preset(versus: ModuleType) -> None:
    space = yaml.safe_load((REPOSITORY / "configs" / "image_folder.yaml").read_text())["space"]
    depth, policies = space["model"]["unfreeze_depth"], space["augment"]["policy"]
    few, default = versus.policies_of(_material(versus, mirror=True))
    assert list(default) == policies
    assert few == ("none", "flip")
    listed = versus.trials(12, range(depth["low"], depth["high"] + 1), default)
    assert {trial["augment.policy"] for trial in listed} == set(policies)
    assert sorted(trial["model.unfreeze_depth"] for trial in listed) == sorted([*range(6)] * 2)


def test_the_digits_list_has_the_policies_of_their_preset(versus: ModuleType) -> None:
    space = yaml.safe_load((REPOSITORY / "configs" / "digits.yaml").read_text())["space"]
    _, default = versus.policies_of(_material(versus, mirror=False))
    assert list(default) == space["augment"]["policy"]


def test_the_least_favourable_ratio_stands_first(versus: ModuleType) -> None:
    def sides(ours: float) -> dict[str, Any]:
        def figures(seconds: float, accuracy: float) -> Any:
            return versus.Figures(seconds, seconds, 24, {"a": accuracy}, accuracy)

        return {
            "tuned": figures(100, 0.5),
            "tutorial": figures(200, 0.6),
            "cold": figures(ours, 0.55),
            "warm": figures(ours / 2, 0.55),
        }

    summary = versus.summary({"default": sides(50), "none_and_flip": sides(25)})
    ratios = {name: value for name, value in summary.items() if "_over_t" in name}
    assert list(ratios.items())[:4] == [
        ("default_cold_over_tuned", 2.0),
        ("default_cold_over_tutorial", 4.0),
        ("none_and_flip_cold_over_tuned", 4.0),
        ("none_and_flip_cold_over_tutorial", 8.0),
    ]
    assert summary["none_and_flip_warm_over_tutorial"] == 16.0
    assert summary["accuracy_over_tuned"] == 5.0
    assert summary["accuracy_over_tutorial"] == -5.0


@pytest.mark.nightly
def test_both_plain_sides_learn() -> None:
    script = REPOSITORY / "benchmarks" / "versus_plain_ray_tune.py"
    environment = {k: v for k, v in user_environment().items() if k != "TUNE_REAL_DATA"}
    done = run([sys.executable, script, "--quick"], env=environment, limit=290)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert len([name for name in summary if "_over_t" in name]) == 10
    assert min(summary["accuracy_of_tuned"], summary["accuracy_of_tutorial"]) > 20  # chance is 10


def _material(versus: ModuleType, *, mirror: bool) -> Any:
    return versus.Material(Path(), Path(), 48, 8, mirror=mirror)
