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


def test_a_diverged_trial_of_stocks_has_nothing_right(
    monkeypatch: pytest.MonkeyPatch, versus: ModuleType
) -> None:
    """Ray ends a whole search over a trial that lacks the metric."""
    stock = importlib.import_module("versus.stock")
    for told, accuracy in (
        ({"error": "DivergedError", "done": True}, 0.0),
        ({"val_acc": 0.7}, 0.7),
    ):
        monkeypatch.setattr(stock.FineTuneTrainable, "step", lambda _, told=told: told)
        assert stock.Trial.step(stock.Trial.__new__(stock.Trial)) == {**told, "val_acc": accuracy}


def _material(versus: ModuleType, *, mirror: bool) -> Any:
    return versus.Material(Path(), Path(), 48, 8, mirror=mirror)


def test_live_sides_are_summed_over_their_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    live = importlib.import_module("live")
    scores = {"ours": (0.9, 0.8, 0.85), "stock": (0.7, 0.75, 0.72), "plain": (0.9, 0.79, 0.8, 0.8)}
    lines = [
        {"task": "digits", "seed": seed, "side": side, "test_acc": score, "seconds": 1.0}
        for side, each in scores.items()
        for seed, score in enumerate(each)
    ]
    found = live.summed(lines, "digits")
    assert found["ours"] == {"mean": pytest.approx(0.85), "std": pytest.approx(0.05), "seeds": 3}
    assert (found["stock"]["ours_better"], found["plain"]["ours_better"]) == (3, 2)
    assert (found["plain"]["pairs"], found["plain"]["seeds"]) == (3, 4)  # the fourth has no pair
    t = 0.126667 / (0.075056 / 3**0.5)
    assert found["stock"]["p"] == pytest.approx(1 - t / (2 + t * t) ** 0.5, abs=1e-4)
    assert "| stock | 72.33% | 2.52 | 3 of 3 | 0.100 |" in live.table("digits", found)
    assert live.summed(lines, "hymenoptera") == {}


def test_a_seed_of_the_live_sides_is_run_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    live = importlib.import_module("live")
    here = {"task": "digits", "seed": 0, "side": "ours", "machine": live.machine()}
    assert live.lacking([here], "digits", 0, live.SIDES) == ["random", "stock", "plain"]
    assert live.lacking([here], "digits", 1, live.SIDES) == list(live.SIDES)
    there = {**here, "machine": "another"}
    assert live.lacking([there], "digits", 0, ["ours"]) == []
    with pytest.raises(SystemExit, match="digits, seed 0: begun on another machine"):
        live.lacking([there], "digits", 0, live.SIDES)


def test_live_sides_have_the_policies_and_depths_of_the_task(
    monkeypatch: pytest.MonkeyPatch, versus: ModuleType
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    live, plain = importlib.import_module("live"), importlib.import_module("versus.plain")
    loading = importlib.import_module("tune.config.loading")
    material = _material(versus, mirror=True)
    for name, task in live.TASKS.items():
        config = loading.load_config(Path(task.preset), task.overrides(material))
        settings = live.plain_settings(task, material)
        known = plain.searched(settings)
        assert plain.search_config({**settings, "num_samples": 2}).reuse_actors
        assert list(known["policy"].categories) == list(config.space["augment.policy"].choices), (
            name
        )
        depth = config.space["model.unfreeze_depth"]
        assert (known["unfreeze_depth"].lower, known["unfreeze_depth"].upper - 1) == (
            depth.low,
            depth.high,
        )
        assert config.train.epochs == task.epochs
        assert config.space.get("train.batch_size") or config.train.batch_size == task.batch_size
