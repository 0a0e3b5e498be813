"""Keys that a trial has only where others have certain values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import DIGITS, REPOSITORY
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.config.space import Choices, Range
from tune.config.walk import count_trials, is_whole_trial, ordered, walk

DECAY = "space.optim.layer_decay={values: [0.65, 0.8], when: {model.unfreeze_depth: {ge: 1}}}"
SGD = "space.optim.name=[sgd, adamw]"


def drawn(config: SearchConfig, **given: Any) -> dict[str, Any]:
    """The values of a trial in which some keys, named by their last word, have given values."""
    return walk(config.space, config.own, lambda key: given.get(key.split(".")[1], 0))


@pytest.mark.parametrize("depth", range(6))
def test_a_trial_has_a_key_where_its_condition_holds(depth: int) -> None:
    config = load_config(DIGITS, [DECAY])
    assert ("optim.layer_decay" in drawn(config, unfreeze_depth=depth)) == (depth > 0)


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("{ge: 2}", (2, 5), (1,)),
        ("{gt: 2}", (3,), (2,)),
        ("{le: 2}", (2, 0), (3,)),
        ("{gt: 1, lt: 3}", (2,), (1, 3)),
        ("3", (3,), (2,)),
        ("[0, 5]", (0, 5), (3,)),
    ],
)
def test_a_condition_is_a_value_a_list_or_bounds(
    condition: str, holds: tuple[int, ...], fails: tuple[int, ...]
) -> None:
    when = f"{{low: 0, high: 1, when: {{model.unfreeze_depth: {condition}}}}}"
    config = load_config(DIGITS, [f"space.augment.mixup={when}"])
    for depths, expected in ((holds, True), (fails, False)):
        for depth in depths:
            assert ("augment.mixup" in drawn(config, unfreeze_depth=depth)) == expected


def test_a_key_that_others_depend_on_is_decided_before_them(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text(
        """
        space:
          optim.l1: {low: 0, high: 1, when: {optim.label_smoothing: 0.1}}
          optim.label_smoothing: {values: [0.0, 0.1], when: {optim.name: sgd}}
          optim.name: [sgd, adamw]
          train.batch_size: [32, 64]
        """
    )
    config = load_config(path)
    names = ["optim.name", "optim.label_smoothing", "optim.l1", "train.batch_size"]
    assert ordered(config.space) == names
    assert drawn(config, name="adamw", label_smoothing=0.1).keys() == {names[0], names[3]}
    assert list(drawn(config, name="sgd", label_smoothing=0.1)) == names


def test_a_key_that_a_trial_does_not_have_takes_the_configs_value() -> None:
    """Also where another key asks for it."""
    config = load_config(
        DIGITS,
        [
            DECAY,
            "optim.layer_decay=0.8",
            "space.augment.mixup={low: 0, high: 1, when: {optim.layer_decay: 0.8}}",
        ],
    )
    found = drawn(config, unfreeze_depth=0)
    assert "optim.layer_decay" not in found
    assert "augment.mixup" in found
    valid = {**found, "optim.lr": 1e-3, "augment.policy": "none"}
    assert config.trial(valid).optim.layer_decay == 0.8


def test_without_conditions_the_order_is_that_of_the_config() -> None:
    space = load_config(DIGITS).space
    assert ordered(space) == list(space)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "space.optim.l1={low: 0, high: 1, when: {model.unfreeze_dept: 1}}",
            "space.optim.l1.when: model.unfreeze_dept is no key of a trial; nearest: "
            "model.unfreeze_depth",
        ),
        (
            "space.optim.l1={low: 0, high: 1, when: {model.unfreeze_depth: {ge: 6}}}",
            "model.unfreeze_depth is searched over 0 to 5, so the condition never holds "
            "(model.unfreeze_depth is at least 6)",
        ),
        (
            "space.optim.l1={low: 0, high: 1, when: {optim.lr: {gt: 0.005, lt: 0.001}}}",
            "optim.lr is searched over 0.0001 to 0.01, by factors, so the condition never holds",
        ),
        (
            "space.optim.l1={low: 0, high: 1, when: {optim.name: sgd}}",
            "optim.name is adamw, so the condition never holds (optim.name is sgd); change it, "
            "or search optim.name",
        ),
        (
            "space.optim.l1={low: 0, high: 1, when: {optim.l1: 1}}",
            "the conditions of optim.l1 -> optim.l1 lead back to the first",
        ),
        (
            "space.optim={l1: {low: 0, high: 1, when: {optim.layer_decay: 1}}, "
            "layer_decay: {values: [0.5, 1], when: {optim.l1: 0}}}",
            "lead back to the first",
        ),
        (
            "space.optim.l1={low: 0, high: 1, when: {model.unfreeze_depth: {eq: 1}}}",
            "space.optim.l1.when.model.unfreeze_depth.eq=1: no such key",
        ),
        (
            "space.optim.l1={low: 0, high: 1, when: {model.unfreeze_depth: {}}}",
            "a condition is a value, a list of values, or ge, gt, le or lt",
        ),
        (
            "space.model.arch={values: [resnet18], when: {model.unfreeze_depth: 1}}",
            "space.model.arch.when: every trial has model.arch; search it without one",
        ),
    ],
)
def test_a_condition_that_is_a_mistake_is_told_in_one_line(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(DIGITS, [override])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_fixing_a_key_on_the_command_line_fixes_what_depends_on_it(tmp_path: Path) -> None:
    path = tmp_path / "sgd.yaml"
    path.write_text(
        """
        space:
          optim.name: [sgd, adamw]
          optim.l1: {low: 0, high: 1, when: {optim.name: sgd}}
          augment.mixup: {low: 0.1, high: 1, when: {optim.l1: {gt: 0}}}
        """
    )
    assert load_config(path, ["optim.name=sgd"]).space.keys() == {"optim.l1", "augment.mixup"}
    assert load_config(path, ["optim.name=adamw"]).space.keys() == set()


def test_a_space_without_conditions_is_written_as_before() -> None:
    config = load_config(DIGITS, [DECAY])
    dumped = config.model_dump(mode="json")["space"]
    assert dumped["augment.policy"] == {"choices": ["none", "flip_crop", "trivial", "rand"]}
    assert "when" in dumped["optim.layer_decay"]
    assert SearchConfig.model_validate_json(config.model_dump_json()) == config
    assert SearchConfig.model_validate(config.model_dump()) == config


def space_of(**keys: Range | Choices) -> SearchConfig:
    names = {"depth": "model.unfreeze_depth", "policy": "augment.policy", "l1": "optim.l1"}
    return SearchConfig.model_validate({"space": {names[key]: keys[key] for key in keys}})


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ({"depth": Range(low=0, high=5)}, 6),
        ({"depth": Range(low=0, high=5), "policy": Choices(choices=("none", "trivial"))}, 12),
        ({"l1": Range(low=0, high=1)}, 1000),
        ({"l1": Range(low=0, high=1, step=0.25)}, 5),
        ({"l1": Range(low=1, high=1)}, 1),
        (
            {
                "depth": Range(low=0, high=5),
                "policy": Choices.model_validate(
                    {"choices": ("none", "trivial"), "when": {"model.unfreeze_depth": {"ge": 3}}}
                ),
            },
            9,
        ),
    ],
)
def test_the_trials_of_a_space_that_differ_are_counted(keys: Any, count: int) -> None:
    config = space_of(**keys)
    assert count_trials(config.space, config.own, 1000) == count
    assert count_trials(config.space, config.own, 4) == min(4, count)
    assert config.num_trials == min(20, count)


def test_a_trial_that_lacks_a_value_or_has_one_too_many_is_not_whole() -> None:
    config = load_config(DIGITS, [DECAY])
    whole = drawn(config, unfreeze_depth=1)
    assert is_whole_trial(config.space, config.own, whole)
    for key in whole:
        lacking = {name: value for name, value in whole.items() if name != key}
        assert not is_whole_trial(config.space, config.own, lacking)
    assert not is_whole_trial(config.space, config.own, {**whole, "model.unfreeze_depth": 0})


def test_the_documented_example_is_a_config(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "searching.md").read_text()
    (example,) = re.findall(r"```yaml\n(space:.*?)```", text, re.DOTALL)
    path = tmp_path / "documented.yaml"
    path.write_text(example)
    config = load_config(path)
    assert drawn(config, unfreeze_depth=0, policy="none").keys() == {
        "model.unfreeze_depth",
        "augment.policy",
    }
    assert len(drawn(config, unfreeze_depth=1, policy="trivial")) == 4


PAIR = ("space.data.mirror=[true, false]", "augment.policy=none")


def test_values_that_make_no_trial_together_are_refused_before_the_start() -> None:
    told = r"the space holds space\.data\.mirror=False with space\.predict\.flips=True: predict\."
    with pytest.raises(ConfigError, match=told):
        load_config(DIGITS, [*PAIR, "space.predict.flips=[true, false]"])


def test_values_that_a_condition_keeps_apart_are_searched() -> None:
    when = "{values: [true, false], when: {data.mirror: true}}"
    words = ["data.mirror=false", *PAIR, f"space.predict.flips={when}"]
    assert "predict.flips" in load_config(DIGITS, words).space
    words[-1] = words[-1].replace("data.mirror: true", "data.mirror: false")
    with pytest.raises(ConfigError, match=r"space\.data\.mirror=False with space\.predict\.flips"):
        load_config(DIGITS, words)


@pytest.mark.parametrize("key", ["train.seed", "train.stop_after", "data.fold"])
def test_what_differs_when_the_best_run_again_is_no_condition(key: str) -> None:
    when = f"{{low: 0, high: 1, when: {{{key}: 1}}}}"
    with pytest.raises(ConfigError, match="differs when the best run again"):
        load_config(DIGITS, [f"space.augment.mixup={when}"])
