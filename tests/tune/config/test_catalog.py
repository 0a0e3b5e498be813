"""The list of all keys, which is read from the models."""

from __future__ import annotations

import pytest

from tests.helpers.commands import REPOSITORY, run_module
from tune.config.catalog import all_keys, fitting
from tune.config.keys import TRIAL_KEYS, keys_of
from tune.config.schema import SearchConfig
from tune.config.space import flatten


def test_every_key_is_listed_and_explained() -> None:
    listed = all_keys()
    assert keys_of(SearchConfig).keys() <= listed.keys()
    assert [name for name, key in listed.items() if not key.meaning or not key.takes] == []


def test_the_page_of_keys_is_that_of_the_models() -> None:
    made = run_module("tune.keys", "--markdown", cwd=REPOSITORY)  # without plugins of other tests
    assert made.returncode == 0, made.stderr
    assert (REPOSITORY / "docs" / "keys.md").read_text() == made.stdout, "run `make keys`"


@pytest.mark.parametrize(
    ("name", "takes", "default"),
    [
        ("optim.lr", "number, above 0 and at most 100", "0.001"),
        ("optim.name", "`sgd`, `adam` or `adamw`", "adamw"),
        ("train.epochs", "whole number (epochs), 1 to 10,000", "8"),
        ("train.early_stopping", "whole number (epochs), at least 1", ""),
        ("train.compile", "`true`, `false` or `auto`", "auto"),
        ("resources.gpu", "number (GPUs) or `auto`, 0 to 10,000", "auto"),
        ("model.weights", "list of text", "[bundled]"),
        ("data.root", "text or path", ""),
        (
            "objective.costs",
            "mapping of a true class to a mapping of an answer to its cost",
            "",
        ),
        ("data.image_size", "whole number (pixels), 8 to 1,024", "64"),
    ],
)
def test_what_a_key_takes_is_said_in_words(name: str, takes: str, default: str) -> None:
    key = all_keys()[name]
    assert (key.takes, key.default) == (takes, default)


def test_names_of_registries_and_durations_are_said() -> None:
    listed = all_keys()
    assert listed["sampler.name"].takes.startswith("`tpe`, ")
    assert "`flip_crop`" in listed["augment.policy"].takes
    assert "`2d`" in listed["budget.time"].takes


@pytest.mark.parametrize("name", TRIAL_KEYS)
def test_a_key_is_said_to_be_searched_if_a_space_may_hold_it(name: str) -> None:
    value = flatten(SearchConfig().model_dump(mode="json"))[name]
    one = next(iter(value), None) if isinstance(value, list) else value
    if one is None:
        numbers = {"schedule.warmup": 0.1, "train.first_image_size": 32}
        one = {"data.mirror": True, **numbers}.get(name, 2)
    try:
        SearchConfig.model_validate({"space": {name: [one]}})
    except ValueError:
        may_be = False
    else:
        may_be = True
    assert all_keys()[name].searched is may_be


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("optim.lr", ["optim.lr"]),
        ("OPTIM.L", ["optim.lr", "optim.l1", "optim.layer_decay", "optim.label_smoothing"]),
        ("schedule.*", ["schedule.name", "schedule.warmup"]),
        ("early stopping", ["train.early_stopping"]),
        ("howard", ["optim.layer_decay"]),
        ("nothing like it", []),
    ],
)
def test_a_pattern_fits_names_and_else_meanings(pattern: str, names: list[str]) -> None:
    assert [key.name for key in fitting(pattern)] == names
