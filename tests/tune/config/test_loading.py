from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.commands import DIGITS
from tests.helpers.examples import examples
from trainable.config import TrialConfig
from tune.base.errors import ConfigError
from tune.config.durations import duration_text
from tune.config.keys import TRIAL_KEYS, keys_of
from tune.config.loading import check_files, config_text, load_config
from tune.config.presets import FOLDER, find_config, presets
from tune.config.schema import SearchConfig
from tune.config.space import Choices, Range
from tune.strategy.portfolio import first_points
from tune.strategy.samplers import RepeatableSampler
from tune.study.distributions import distributions


def rooted(name: str) -> list[str]:
    """A folder, for the presets whose data lie in one."""
    return [] if name == "digits" else ["data.root=photos"]


@pytest.mark.parametrize("path", [FOLDER / f"{name}.yaml" for name in presets()], ids=str)
def test_every_config_that_comes_along_is_valid(path: Path) -> None:
    config = load_config(path, rooted(path.stem))
    assert isinstance(config.trial({}), TrialConfig)


def test_an_override_sets_its_key() -> None:
    config = load_config(DIGITS, ["data.limit=200", "resources.gpu=0.25", "budget.time=1h30m"])
    assert (config.data.limit, config.resources.gpu, config.budget.time) == (200, 0.25, 5400)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("30m", 1800), ("2d", 172_800), ("1d12h", 129_600), ("1d1h1m1s", 90_061)],
)
def test_a_duration_may_have_days(written: str, seconds: float) -> None:
    config = load_config(DIGITS, [f"budget.time={written}", f"tracking.patience={written}"])
    assert (config.budget.time, config.tracking.patience) == (seconds, seconds)


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (0.5, "0.5 s"),
        (183, "183 s"),
        (599, "599 s"),
        (600, "10 min"),
        (5400, "1 h 30 min"),
        (7201, "2 h 1 s"),
        (172_800, "2 d"),
        (90_061, "1 d 1 h 1 min 1 s"),
    ],
)
def test_a_duration_is_read_in_its_largest_units(seconds: float, read: str) -> None:
    assert duration_text(seconds) == read


def test_an_override_of_a_searched_key_fixes_it() -> None:
    config = load_config(DIGITS, ["optim.lr=1e-3"])
    assert config.optim.lr == 1e-3
    assert "optim.lr" not in config.space
    assert "model.unfreeze_depth" in config.space


def test_an_override_of_the_space_keeps_a_key_that_is_set_too() -> None:
    config = load_config(DIGITS, ["optim.lr=1e-3", "space.optim.lr.high=5e-3"])
    assert config.optim.lr == 1e-3
    assert config.space["optim.lr"] == Range(low=1e-4, high=5e-3, log=True)


def test_a_value_may_refer_to_another_key() -> None:
    config = load_config(DIGITS, ["optim.weight_decay=${optim.lr}", "optim.lr=0.5"])
    assert config.optim.weight_decay == 0.5


def test_a_value_may_refer_to_an_end_of_a_range() -> None:
    config = load_config(DIGITS, ["optim.weight_decay=${space.optim.lr.high}"])
    assert config.optim.weight_decay == 0.01


def test_an_override_fixes_a_key_that_the_file_searches_by_its_dotted_name(tmp_path: Path) -> None:
    path = tmp_path / "flat.yaml"
    path.write_text("space: {optim.lr: [0.1, 0.2], optim.l1: [0, 1]}")
    config = load_config(path, ["optim.lr=0.3"])
    assert (config.optim.lr, list(config.space)) == (0.3, ["optim.l1"])


def test_a_number_as_a_key_of_the_space_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "number.yaml"
    path.write_text("space: {3: [0.1, 0.2]}")
    with pytest.raises(ConfigError, match=r"space\.3: no such key of a trial"):
        load_config(path)


def test_the_space_may_be_overridden_in_part() -> None:
    space = load_config(DIGITS, ["space.optim.lr.high=1", "space.augment.policy=[none]"]).space
    assert space["optim.lr"] == Range(low=1e-4, high=1, log=True)
    assert space["augment.policy"] == Choices(choices=("none",))


def test_lists_and_ranges_replace_each_other() -> None:
    rates = load_config(DIGITS, ["space.optim.lr=[0.001, 0.01]"])
    assert rates.space["optim.lr"] == Choices(choices=(0.001, 0.01))
    warmup = load_config(
        DIGITS, ["space.augment.mixup=[0, 1]", "space.augment.mixup={low: 0, high: 1}"]
    )
    assert warmup.space["augment.mixup"] == Range(low=0, high=1)


ONLY_DEEP = "when: {model.unfreeze_depth: {ge: 1}}"
RATES = Choices(choices=(0.001, 0.01))
TENTHS = Range(low=0.1, high=1)
DEEP_RATES = Choices(choices=(0.001, 0.01), when={"model.unfreeze_depth": {"ge": 1}})


@pytest.mark.parametrize("file", ["space: {optim: {lr: %s}}", "space: {optim.lr: %s}"])
@pytest.mark.parametrize(
    ("base", "word", "expected"),
    [
        ("{low: 0.1, high: 1, log: true}", "=[0.001, 0.01]", RATES),
        ("{low: 0.1, high: 1}", f"={{values: [0.001, 0.01], {ONLY_DEEP}}}", DEEP_RATES),
        (f"{{low: 0.1, high: 1, {ONLY_DEEP}}}", "=[0.001, 0.01]", DEEP_RATES),
        (f"{{values: [1], {ONLY_DEEP}}}", "=[0.001, 0.01]", DEEP_RATES),
        (f"{{values: [1], {ONLY_DEEP}}}", "={low: 0.1, high: 1, when: {}}", TENTHS),
        ("[1, 2]", "={low: 0.1, high: 1}", TENTHS),
        ("[0.001, 0.01]", f"={{{ONLY_DEEP}}}", DEEP_RATES),
        ("{low: 0.1, high: 1, log: true}", ".high=2", Range(low=0.1, high=2, log=True)),
        ("{low: 0.1, high: 1, log: true}", "={high: 2}", Range(low=0.1, high=2, log=True)),
    ],
)
def test_what_is_searched_of_a_key_is_replaced_by_another_kind_and_changed_in_part_by_its_own(
    file: str, base: str, word: str, expected: Range | Choices, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(file % base)
    found = load_config(tmp_path / "own.yaml", [f"space.optim.lr{word}"])
    assert found.space == {"optim.lr": expected}


def test_keys_that_a_word_adds_to_the_space_come_after_those_of_their_section() -> None:
    space = load_config(DIGITS, ["space.optim.l1=[0, 1]", "space.train.epochs=[2, 3]"]).space
    keys = ["optim.lr", "optim.l1", "model.unfreeze_depth", "augment.policy", "train.epochs"]
    assert [*space] == keys


def test_the_space_of_a_file_stays_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("space: {optim.lr: [0.1], train.epochs: [2], optim.l1: [0, 1]}")
    assert [*load_config(path).space] == ["optim.lr", "train.epochs", "optim.l1"]


@pytest.mark.parametrize("word", ["optim={lr: 0.3}", "optim.lr=0.3"])
def test_a_key_is_fixed_however_the_word_is_written(word: str) -> None:
    config = load_config(DIGITS, [word])
    assert (config.optim.lr, "optim.lr" in config.space) == (0.3, False)


@pytest.mark.parametrize("word", ["space={optim.lr: [0.1]}", "space.optim={lr: [0.1]}"])
def test_a_key_is_searched_however_the_word_is_written(word: str) -> None:
    config = load_config(DIGITS, [word, "optim.lr=0.3"])
    assert (config.optim.lr, config.space["optim.lr"]) == (0.3, Choices(choices=(0.1,)))


def test_points_to_try_first_may_be_nested() -> None:
    config = load_config(
        DIGITS, ["sampler.points=[{optim: {lr: 5e-4}, model.unfreeze_depth: 3}, {optim.lr: 0.01}]"]
    )
    assert config.sampler.points == (
        {"optim.lr": 5e-4, "model.unfreeze_depth": 3},
        {"optim.lr": 0.01},
    )


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("optim.lrr=1", ["optim.lrr=1", "no such key", "nearest: optim.lr", "command line"]),
        ("model.stem=small", ["model.stem=small: no such key; model.arch=resnet18_3x3 has the"]),
        ("optim.lr=-1", ["optim.lr=-1", "greater than 0"]),
        ("optim.lr=fast", ["optim.lr=fast", "valid number"]),
        ("optim.lr=.nan", ["optim.lr=nan"]),
        ("train=3", ["train=3", "keys of its own"]),
        ("budget.num_samples=0", ["budget.num_samples=0", "greater than or equal to 1"]),
        ("budget.time=30x", ["budget.time=30x", "90s, 30m, 1h30m or 2d"]),
        ("resources.gpu=1.5", ["resources.gpu=1.5", "whole number"]),
        ("resources.gpu=some", ["resources.gpu=some", "or auto"]),
        ("data.source=imagenet", ["data.source=imagenet", "must be one of digits,"]),
        ("data.source=image_folder", ["data.root is required"]),
        ("data.root=photos", ["data.root=photos means nothing", "--config image_folder"]),
        ("train.epochs=true", ["train.epochs=True", "a number, not true or false"]),
        ("name=a/b", ["name=a/b: letters, digits and . _ -"]),
        ("augment.policy=flip", ["augment.policy=flip", "data.mirror"]),
        ("model.arch=resnet19", ["model.arch=resnet19", "must be one of resnet18, resnet34,"]),
        ("model.arch=resnet34", ["model.weights=bundled is a resnet18: for model.arch=resnet34"]),
        (
            "space.model.arch=[resnet18, resnet50]",
            ["space.model.arch holds resnet50: model.weights=bundled is a resnet18"],
        ),
        (
            "space.model={arch: [resnet18, resnet50], weights: [bundled, imagenet]}",
            ["space.model.arch holds resnet50: model.weights=bundled is a resnet18"],
        ),
        ("sampler.points=[{optim.l1: 1}]", ["sampler.points.0: optim.l1 is not in the space"]),
        ("sampler.points=[{}, {optim.lr: 1}]", ["points.1: space.optim.lr does not hold 1"]),
        ("sampler.points=[{optim.lr: true}]", ["points.0: space.optim.lr does not hold True"]),
        ("sampler.points=[{augment.policy: flip}]", ["augment.policy does not hold flip"]),
        ("sampler.points=[3]", ["sampler.points"]),
        ("space=null", ["space=None"]),
        ("space.optim.lr=5", ["space.optim.lr=5", "list of values, or a range", "command line"]),
        ("space.optim.l1={}", ["field required", "command line"]),
        (
            "augment.policy=[flip, rand]",
            ["must be one value", "write space.augment.policy=[flip, rand] (command line)"],
        ),
        ("optim.lr={low: 0.1, high: 1}", ["space.optim.lr={low: 0.1, high: 1} (command line)"]),
        ("data.source=[digits, cifar10]", ["must be one value, since trials of different images"]),
        ("metric=val_loss", ["metric=val_loss", "nearest: objective.metric (command line)"]),
        ("lr=0.1", ["lr=0.1", "nearest: optim.lr"]),
        ("train.lr=0.1", ["train.lr=0.1", "nearest: optim.lr"]),
        ("seed=1", ["nearest: train.seed or sampler.seed"]),
        ("space.lr=[0.1, 0.2]", ["space.lr: no such key", "nearest: space.optim.lr (command"]),
        (
            "space.model.weights=[[imagenet, bundled], random]",
            ["space.model.weights.choices.0=['imagenet', 'bundled']", "(command line)"],
        ),
        ("space.optim.lr.low=1", ["space.optim.lr", "low=1 must not be above high=0.01"]),
        ("space.optim.lr.low=0", ["space.optim.lr", "with log"]),
        ("space.optim.lr.step=0.1", ["log and step"]),
        ("space.optim.momentum=[0.8,0.9]", ["space.optim.momentum", "no such key of a trial"]),
        ("space.optim.lrr=[0.8,0.9]", ["nearest: space.optim.lr"]),
        ("space.augment.policy=[none,none]", ["space.augment.policy", "differ"]),
        ("space.augment.policy=[]", ["space.augment.policy", "at least 1"]),
        ("space.augment.policy=[none,flip]", ["space.augment.policy holds flip"]),
        ("space.model.unfreeze_depth.high=9", ["space.model.unfreeze_depth holds 9"]),
        ("space.model.unfreeze_depth.low=0.5", ["space.model.unfreeze_depth holds 0.5"]),
        (
            "space.data.mirror={low: false, high: true}",
            ["space.data.mirror.low=False", "not true or false"],
        ),
        (
            "space.objective.metric=[val_acc, val_loss]",
            ["space.objective.metric: trials of different objectives cannot be compared"],
        ),
        *(
            (f"space.data.{key}=[{values}]", [f"space.data.{key}: trials of different images"])
            for key, values in {
                "val_fraction": "0.1, 0.3",
                "test_fraction": "0.1, 0.3",
                "source": "digits, cifar10",
                "limit": "200, 400",
                "root": "a, b",
            }.items()
        ),
        ("objective.metric=val_los", ["objective.metric=val_los", "nearest: val_loss"]),
        ("name=../escape", ["name=../escape"]),
        ("lr", ["'lr'", "key=value"]),
        ("=1", ["key=value"]),
        ("resources.gpu=.inf", ["resources.gpu=inf", "finite"]),
        ("resources.gpu=9" + 999 * "9", ["resources.gpu=99", "63 are the most"]),
        ("train.seed=" + 5000 * "9", ["train.seed=99", "limit"]),
        ("train.seed=0x" + 5000 * "f", ["train.seed is a number of 20000 bits"]),
        ("cache.max_gb=1e308", ["cache.max_gb=1e+308", "less than or equal"]),
        ("budget.time=" + 5000 * "9" + "h", ["budget.time=99", "90s, 30m, 1h30m or 2d"]),
        ("budget.time=٣m", ["budget.time=٣m", "90s, 30m, 1h30m or 2d"]),
        ("space.optim={1: 2}", ["space.optim.1=2", "list of values, or a range"]),
        ("train.compile=[1]", ["train.compile=[1]"]),
        ("optim=" + 2000 * "[" + 2000 * "]", ["optim=[[", "more than 20 lists and mappings"]),
        ("optim=" + 2000 * "{a: " + 2000 * "}", ["more than 20 lists and mappings"]),
        ("a." * 2000 + "a=1", ["a.a.a", "more than 20 keys"]),
        ("name=" + 2000 * "${a" + 2000 * "}", ["name=${a"]),
        ('model.weights="a\\0b"', ["model.weights=a\\x00b holds a NUL character"]),
        ("name=\udcff", ["name=\\udcff"]),
        ("name=\x1b[2J", ["name=\\x1b[2J"]),
        ("data.root=${nowhere}", ["nowhere", "data.root"]),
        ("data.root=${optim}", ["data.root=${optim}: optim has several values"]),
        ("optim.lr=${optim.lr}", ["optim.lr=${optim.lr}", "to itself"]),
        ("data.root=${oc.env:HOME}", ["data.root=${oc.env:HOME}", "such as ${optim.lr}, and to"]),
        ("name=a${oc.env:${name},b}", ["name=a${oc.env:${name},b}", "its own keys"]),
        ("model.weights=[a, '${oc.env:HOME}']", ["model.weights=", "its own keys"]),
        ("a={", ["a={"]),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_a_mistake_is_told_in_one_line_with_key_value_and_rule(
    override: str, told: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(DIGITS, [override])
    message = str(caught.value)
    assert message.isprintable()
    for part in told:
        assert part in message


def doubling(first: str, again: str) -> str:
    """A document whose every line repeats the one before it."""
    return first + "".join(again.format(f"n{n}", f"n{n - 1}") for n in range(1, 60))


@pytest.mark.parametrize(
    "content",
    [
        *(b"- a\n- b\n", b"a: [", b"\x00", b'name: "a\\0b"', b"just words"),
        *(b"name: \xff", "name: a".encode("utf-16"), b"name: !!set {a, b}", b"~: 1", b"[a]: 1"),
        *(b"name: 2\nname: 2", b"a: &a [*a]", b"a: &a {b: *a}"),
        *(b"a: " + 100_000 * b"[", b"a: " + 2000 * b"{a: " + 2000 * b"}"),
        b"name: " + 2_000_000 * b"a",
        doubling("n0: &n0 [1, 1]\n", "{0}: &{0} [*{1}, *{1}]\n").encode(),
        doubling("n0: &n0 {{a: 1}}\n", "{0}: &{0} {{{{<<: [*{1}, *{1}]}}}}\n").encode(),
        doubling("n0: aa\n", "{0}: ${{{1}}}${{{1}}}\n").encode(),
        doubling("n0: ''\n", "{0}: ${{{1}}}${{{1}}}\n").encode(),
    ],
    ids=lambda content: str(content[:20]),
)
def test_a_file_that_is_no_config_is_told_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_an_empty_file_is_a_config_of_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    assert load_config(tmp_path / "empty.yaml") == SearchConfig()


@pytest.mark.parametrize("name", ["a\0b", 5000 * "a", "\udcff", "."])
def test_a_config_that_can_be_no_file_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match="no such file or preset"):
        load_config(Path(name))


@pytest.mark.parametrize("words", [["model.weights="], ["data.source=image_folder", "data.root="]])
def test_a_path_that_can_be_none_is_told_as_one_that_is_not_there(words: list[str]) -> None:
    *others, key = words
    with pytest.raises(ConfigError, match=f"{key}wwww.*: no such f") as caught:
        check_files(load_config(DIGITS, [*others, key + 10_000 * "w"]))
    assert len(str(caught.value)) < 300


def test_the_keys_of_a_config_reach_the_leaves() -> None:
    assert {"optim.lr", "space", "resources.gpu", "name"} <= keys_of(SearchConfig).keys()


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["none", "flip", "asha", "bundled", "${optim.lr}", "${", "auto", "30m", "a/b"]),
    st.sampled_from(["${space.optim}", "${name}${name}", "a\0b", 300 * "a", 10**400, 2**63]),
)
VALUES = st.recursive(
    LEAVES | st.integers(1, 40).map(lambda depth: reduce(lambda node, _: [node], range(depth), 1)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=6), inner, max_size=3),
        st.fixed_dictionaries({"low": LEAVES, "high": LEAVES}),
    ),
    max_leaves=6,
)
RANGES = st.fixed_dictionaries(
    {},
    optional={
        **{part: st.floats(-1, 10) | st.integers(-1, 10) | LEAVES for part in ("low", "high")},
        "log": st.booleans() | LEAVES,
        "step": st.floats(0, 2) | LEAVES,
        "when": VALUES,
    },
)
LISTS = st.lists(st.sampled_from(["none", "rand", 0, 1, 0.5, True, None]) | LEAVES, max_size=4)
LISTED = st.fixed_dictionaries(
    {"values": LISTS | LEAVES},
    optional={
        "when": VALUES
        | st.dictionaries(
            st.sampled_from([*TRIAL_KEYS, "nothing"]),
            st.fixed_dictionaries({"ge": LEAVES}) | LISTS | LEAVES,
            max_size=2,
        )
    },
)
SEARCHED = st.one_of(RANGES, LISTS, LISTED, VALUES)
"""What may be written of a searched key, right and wrong."""
KEYS = st.sampled_from([*keys_of(SearchConfig), *(f"space.{key}" for key in TRIAL_KEYS)])


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`, on top of the digits' config."""
    tree: dict[str, Any] = yaml.safe_load(DIGITS.read_text())
    for key, value in values.items():
        *path, last = key.split(".")
        node = tree
        for name in path:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[last] = value
    return tree


def assert_valid_or_told(path: Path, overrides: Sequence[str] = ()) -> None:
    try:
        config = load_config(path, overrides)
    except ConfigError as error:
        told = str(error)
    else:
        told = None
    if told is not None:
        assert told.isprintable()
        assert len(told) < 1000
        return
    # What is valid makes trials, and can be written down and read again.
    assert config.trial(first_points(config)[0])
    study = optuna.create_study(sampler=RepeatableSampler(config.sampler))
    assert config.trial(study.ask(distributions(config.space)).params)
    assert SearchConfig.model_validate_json(config.model_dump_json()) == config


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_random_values_are_valid_or_told_in_one_line(
    values: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "random.yaml"
    path.write_text(yaml.safe_dump(nested(values), allow_unicode=True), encoding="utf-8")
    assert_valid_or_told(path)


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.text(), VALUES.map(yaml.safe_dump), st.binary()))
def test_a_random_file_is_valid_or_told_in_one_line(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "random.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_valid_or_told(path)


@settings(max_examples=examples(300))
@given(
    words=st.lists(
        st.one_of(st.text(max_size=12), st.builds("{}={}".format, KEYS, st.text(max_size=8))),
        max_size=3,
    )
)
def test_random_words_are_valid_or_told_in_one_line(words: list[str]) -> None:
    assert_valid_or_told(DIGITS, words)


def in_a_word(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n")


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.dictionaries(st.sampled_from([*TRIAL_KEYS]), SEARCHED, max_size=2),
    words=st.lists(
        st.tuples(
            st.sampled_from([*TRIAL_KEYS]),
            st.sampled_from(["", ".low", ".high", ".when", ".values"]),
            SEARCHED,
        ),
        max_size=2,
    ),
)
def test_random_values_of_the_space_are_valid_or_told_in_one_line(
    file: dict[str, Any], words: list[tuple[str, str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "random.yaml"
    tree = nested({f"space.{key}": value for key, value in file.items()})
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    given = [f"space.{key}{part}={in_a_word(value)}" for key, part, value in words]
    assert_valid_or_told(path, given)


def test_weights_that_are_searched_must_fit_every_architecture() -> None:
    words = ["model.weights=imagenet", "space.model.weights=[imagenet, bundled]"]
    with pytest.raises(ConfigError, match=r"space\.model\.weights holds bundled, a resnet18, and"):
        load_config(DIGITS, [*words, "space.model.arch=[resnet18, resnet50]"])
    load_config(DIGITS, [*words, "space.model.arch=[resnet18]"])


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "resnet18-digits"),
        (["model.arch=wide_resnet50_2"], "wide_resnet50_2-digits"),
        (["space.model.arch=[resnet34]"], "resnet34-digits"),
        (["space.model.arch=[resnet18, resnet34]"], "resnet-digits"),
    ],
)
def test_the_registered_model_is_named_by_its_architecture(words: list[str], name: str) -> None:
    assert load_config(DIGITS, ["model.weights=imagenet", *words]).model_name == name


@pytest.mark.parametrize("name", presets())
def test_a_config_is_printed_as_its_file_to_start_from(name: str, in_tmp_path: Path) -> None:
    assert config_text(Path(name)) == find_config(Path(name)).read_text()


@pytest.mark.parametrize(
    "overrides",
    [
        ["optim.lr=1e-3", "name=own"],
        ["space.optim.lr=[1e-3,1e-4]", "budget.time=2h"],
        ["augment.policy=trivial", "train.epochs=3", "model.unfreeze_depth=0"],
    ],
)
@pytest.mark.parametrize("name", presets())
def test_a_config_that_is_printed_with_overrides_is_the_config_with_them(
    name: str, overrides: list[str], in_tmp_path: Path
) -> None:
    words = [*rooted(name), *overrides]
    (in_tmp_path / "own.yaml").write_text(config_text(Path(name), words))
    assert load_config(Path("own.yaml")) == load_config(Path(name), words)


def test_a_config_with_a_mistake_is_not_printed(in_tmp_path: Path) -> None:
    for word in ("optim.lrr=1", "optim.lr=-1", "optim"):
        with pytest.raises(ConfigError, match="optim"):
            config_text(Path("digits"), [word])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.source=table", "data.root=no.csv"], "no such file; give a table with the columns"),
        (
            ["data.source=huggingface", "data.root=nowhere"],
            "no such folder; give one of a data set",
        ),
        (
            ["data.source=image_folder", "data.root=labels.csv"],
            "per class; for labels in a table: data.source=table data.root=labels.csv",
        ),
    ],
)
def test_what_is_not_at_the_root_is_said_before_anything_is_loaded(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").touch()
    with pytest.raises(ConfigError, match=said):
        check_files(load_config(None, words))


def test_images_at_a_url_are_not_looked_for_here() -> None:
    check_files(load_config(None, ["data.source=image_folder", "data.root=s3://bucket/photos"]))
