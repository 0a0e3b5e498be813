"""What a trial may be, and what it is by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trainable.config import DataConfig, ModelConfig, ScheduleConfig, TrialConfig

SECTIONS = ("data", "model", "augment", "optim", "schedule", "train")

RANGES: list[tuple[str, list[Any], list[Any]]] = [
    ("data.limit", [2, None], [1]),
    ("data.image_size", [8, 1024], [7, 1025]),
    ("data.val_fraction", [0.001, 0.999], [0, 1]),
    ("data.test_fraction", [0.001, 0.999], [0, 1]),
    ("model.unfreeze_depth", [0, 5], [-1, 6]),
    ("augment.mixup", [0, 10], [-0.1, 10.1]),
    ("augment.cutmix", [0, 10], [-0.1, 10.1]),
    ("augment.num_views", [1, 1000], [0, 1001]),
    ("optim.lr", [1e-8, 100], [0, 100.1]),
    ("optim.weight_decay", [0, 10], [-0.1, 10.1]),
    ("optim.l1", [0, 10], [-0.1, 10.1]),
    ("optim.layer_decay", [0.001, 1], [0, 1.1]),
    ("optim.label_smoothing", [0, 0.999], [-0.1, 1]),
    ("optim.focal_gamma", [0, 10], [-0.1, 10.1]),
    ("train.class_weights", ["none", "balanced", "effective"], ["inverse", None]),
    ("train.sampler", ["shuffle", "balanced"], ["random", None]),
    ("schedule.warmup", [0, 0.999, None], [-0.1, 1]),
    ("train.epochs", [1, 10_000], [0, 10_001]),
    ("train.batch_size", [2, 65_536], [1, 65_537]),
    ("train.early_stopping", [1, None], [0]),
    ("train.seed", [0, 2**31 - 1], [-1, 2**31]),
]
ALLOWED = [(key, value) for key, good, _ in RANGES for value in good]
REFUSED = [(key, value) for key, _, bad in RANGES for value in bad]


def trial_with(key: str, value: Any) -> TrialConfig:
    section, name = key.split(".")
    return TrialConfig.model_validate({section: {name: value}})


@pytest.mark.parametrize(("key", "value"), ALLOWED)
def test_the_ends_of_a_range_are_allowed(key: str, value: Any) -> None:
    section, name = key.split(".")

    assert getattr(getattr(trial_with(key, value), section), name) == value


@pytest.mark.parametrize(("key", "value"), REFUSED)
def test_what_lies_beyond_a_range_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        trial_with(key, value)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("key", ["optim.lr", "optim.weight_decay", "data.val_fraction"])
def test_a_number_that_is_not_finite_is_refused(key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        trial_with(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.source", "imagenet"),
        ("model.arch", "vgg16"),
        ("augment.policy", "auto"),
        ("optim.name", "lion"),
        ("schedule.name", "linear"),
        ("train.precision", "fp16"),
    ],
)
def test_a_name_that_is_not_on_the_list_is_refused(key: str, value: str) -> None:
    with pytest.raises(ValidationError, match=key):
        trial_with(key, value)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_config_is_frozen(section: str) -> None:
    trial = TrialConfig()
    part = getattr(trial, section)

    with pytest.raises(ValidationError, match="frozen"):
        setattr(trial, section, part)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(part, next(iter(type(part).model_fields)), None)


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_is_refused(section: str) -> None:
    with pytest.raises(ValidationError, match=rf"{section}\.colour"):
        TrialConfig.model_validate({section: {"colour": "red"}})


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        TrialConfig.model_validate({"colour": {}})


@pytest.mark.parametrize(
    ("data", "mirrors"),
    [
        ({"source": "digits"}, False),
        ({"source": "cifar10"}, True),
        ({"source": "image_folder", "root": "images"}, True),
        ({"source": "digits", "mirror": True}, True),
        ({"source": "cifar10", "mirror": False}, False),
    ],
)
def test_all_but_digits_keep_their_label_in_the_mirror_unless_told(
    data: dict[str, Any], mirrors: bool
) -> None:
    assert DataConfig.model_validate(data).mirrors is mirrors


@pytest.mark.parametrize("data", [{"source": "digits"}, {"source": "cifar10", "mirror": False}])
def test_flip_is_refused_where_a_mirrored_image_changes_its_label(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"augment\.policy=flip .* set data\.mirror=true"):
        TrialConfig.model_validate({"data": data, "augment": {"policy": "flip"}})


@pytest.mark.parametrize("data", [{"source": "cifar10"}, {"source": "digits", "mirror": True}])
def test_flip_is_allowed_where_a_mirrored_image_keeps_its_label(data: dict[str, Any]) -> None:
    trial = TrialConfig.model_validate({"data": data, "augment": {"policy": "flip"}})

    assert trial.augment.policy == "flip"


@pytest.mark.parametrize("policy", ["none", "flip_crop", "trivial", "rand"])
def test_digits_take_every_policy_but_flip(policy: str) -> None:
    assert trial_with("augment.policy", policy).augment.policy == policy


def test_an_image_folder_without_a_root_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"data\.root is required"):
        DataConfig(source="image_folder")


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ("imagenet", ("imagenet",)),
        (Path("a") / "b.pt", (str(Path("a") / "b.pt"),)),
        (["imagenet", Path("b.pt")], ("imagenet", "b.pt")),
    ],
)
def test_weights_become_a_tuple_of_names(given: Any, weights: tuple[str, ...]) -> None:
    assert ModelConfig(weights=given).weights == weights


def test_an_empty_list_of_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match="weights"):
        ModelConfig(weights=())


@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle", "step", "plateau"])
def test_only_one_cycle_warms_up_unless_told(name: Any) -> None:
    assert ScheduleConfig(name=name).warmup_share == (0.3 if name == "one_cycle" else 0.0)
    assert ScheduleConfig(name=name, warmup=0.0).warmup_share == 0.0
    assert ScheduleConfig(name=name, warmup=0.2).warmup_share == 0.2


def test_equal_configs_are_equal_keys() -> None:
    first, second = (trial_with("data.limit", 100) for _ in range(2))

    assert len({first, second, trial_with("data.limit", 101)}) == 2


def test_a_trial_survives_json() -> None:
    trial = TrialConfig.model_validate(
        {
            "data": {"source": "image_folder", "root": "images"},
            "model": {"weights": ["imagenet", "random"]},
            "train": {"early_stopping": 3},
        }
    )

    assert TrialConfig.model_validate(trial.model_dump(mode="json")) == trial
    assert TrialConfig.model_validate_json(trial.model_dump_json()) == trial


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"source": "digits", "root": None, "group": "a"},
            r"data\.group=a means nothing with data\.source=dig",
        ),
        ({"group": "patient"}, r"has no group in parentheses; give .*\(patient"),
        ({"group": "(patient"}, r"no regular expression \(.*; give one"),
        ({"group": "(a)", "split_rule": 1}, "splits by place alone; leave it out"),
    ],
)
def test_groups_that_cannot_be_told_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DataConfig.model_validate({"source": "image_folder", "root": "photos", **given})
