"""The model that a command works with, by its name."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from torch import Tensor

from tests.helpers.examples import examples
from tests.helpers.networks import random_state
from tests.helpers.searches import FinishedSearch
from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec
from tune.base.errors import ConfigError, squeeze
from tune.models.lookup import load_model

PIXELS = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return random_state(2)


@pytest.fixture
def classifier(weights: dict[str, Tensor]) -> Classifier:
    return Classifier(Spec("resnet18", ("ants", "bees"), 8, 16), weights)


@pytest.mark.parametrize("name", ["", "model.safetensors", "classifier.json"])
def test_a_folder_or_a_file_in_it_is_read(
    name: str, classifier: Classifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    model = load_model(str(tmp_path / name))
    assert model.version is None
    np.testing.assert_array_equal(
        model.classifier.probabilities(PIXELS), classifier.probabilities(PIXELS)
    )


@pytest.mark.parametrize("given", [None, "models:/resnet18-digits@champion", "resnet18-digits"])
def test_the_champion_is_found_in_the_registry(
    given: str | None, finished_search: FinishedSearch
) -> None:
    model = load_model(given, finished_search.uri)
    assert model.name == "models:/resnet18-digits/1"
    assert model.version is not None
    assert model.version.aliases == ["champion"]
    assert model.classifier.spec.classes == tuple("0123456789")


def test_one_of_several_must_be_named(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri)
    client.search_registered_models()
    with pytest.raises(ConfigError, match=r"no model is registered here: python -m tune\.search"):
        load_model(None, uri)
    for name in ("b", "a"):
        client.create_registered_model(name)
    with pytest.raises(ConfigError, match="give --model models:/a@champion or models:/b@champion"):
        load_model(None, uri)


def test_a_folder_goes_before_a_registered_model_of_its_name(
    classifier: Classifier, finished_search: FinishedSearch, in_tmp_path: Path
) -> None:
    classifier.save(in_tmp_path / "resnet18-digits")
    assert load_model("resnet18-digits", finished_search.uri).version is None


@pytest.mark.parametrize("given", [None, "nowhere"])
def test_an_empty_folder_is_left_empty(
    given: str | None, in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow.set_tracking_uri(None)
    told = r"no model is registered here: python -m tune\.search|nowhere: no such folder"
    with pytest.raises(ConfigError, match=told):
        load_model(given)
    assert list(in_tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("models:/resnet18-digits@challenger", "--model models:/resnet18-digits@challenger: "),
        ("models:/resnet18-digits/7", "--model models:/resnet18-digits/7: "),
        ("models:/other@champion", "no such registered model; there is resnet18-digits"),
        ("models:/resnet18-digit@champion", "no such registered model; nearest: resnet18-digits"),
        (
            "resnet18-digit",
            "--model resnet18-digit: no such registered model, folder or file; near",
        ),
        (
            "models:/resnet18-digits@staging",
            "resnet18-digits has no version with the alias staging",
        ),
        ("models:/resnet18-digits", "is written models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/resnet18-digits/latest", "is written models:/NAME@ALIAS"),
        ("nowhere", "--model nowhere: no such registered model, folder or file; there is resnet18"),
        ("no/where", "--model no/where: no such folder; give one, imagenet, or models:/NAME@"),
    ],
)
def test_a_model_that_is_not_there_is_told_in_one_line(
    given: str, told: str, finished_search: FinishedSearch
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(given, finished_search.uri)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


SPEC = {"arch": "resnet18", "classes": ["ants", "bees"], "stored_side": 8, "image_size": 16}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        *((b"", "classifier.json: "), (b"[]", "classifier.json: "), (b"\xff", "classifier.json: ")),
        *((b"{}", "arch"), (b"[" * 100_000, "classifier.json: ")),
        (b" " * 17_000_000, "more than 16,777,216 bytes"),
        ({"image_size": "large"}, "image_size='large': "),
        ({"image_size": 60_000}, "image_size=60000: Input should be less than or equal to 1024"),
        *(({"image_size": -1}, "image_size=-1"), ({"image_size": 16.5}, "image_size=16.5")),
        *(({"image_size": True}, "image_size=True"), ({"stored_side": 0}, "stored_side=0")),
        ({"stored_side": 10**30}, "stored_side="),
        ({"arch": "vit_b_16"}, "must be one of"),
        *(({"arch": "abc"}, "must be one of"), ({"arch": None}, "arch=None")),
        ({"arch": "resnet34"}, "its weights are not of a resnet34 with 2 classes: layer1.2."),
        ({"classes": ["a", "b", "c"]}, "its weights are not of a resnet18 with 3 classes: fc."),
        *(({"classes": ["ants"]}, "classes="), ({"classes": 2}, "classes=2")),
        ({"classes": ["ants", "ants"]}, "'ants' is there 2 times"),
        *(({"classes": ["ants", ""]}, "classes.1=''"), ({"classes": ["a", 1]}, "classes.1=1")),
        ({"classes": ["a" * 2000, "b"]}, "classes.0="),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_folder_without_a_classifier_is_told_in_one_line(
    content: bytes | dict[str, Any], told: str, classifier: Classifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    changed = content if isinstance(content, bytes) else json.dumps({**SPEC, **content}).encode()
    (tmp_path / "classifier.json").write_bytes(changed)
    with pytest.raises(ConfigError, match="it holds no classifier") as caught:
        load_model(str(tmp_path))
    assert told in str(caught.value)
    assert str(caught.value).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.slow
@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from([*SPEC, "more"]), JSON, min_size=1), bare=JSON)
def test_any_description_is_valid_or_told_in_one_line(
    values: dict[str, Any], bare: Any, tmp_path: Path
) -> None:
    path = tmp_path / "classifier.json"
    for content in (bare, {**SPEC, **values}):
        path.write_text(json.dumps(content))
        with suppress(ValueError):
            assert Spec.read(path).image_size <= 1024
            continue
        with pytest.raises(ValueError, match=r"^classifier\.json: ") as caught:
            Spec.read(path)
        assert squeeze(caught.value, 1000) == str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "classifier.json"])
def test_a_folder_with_half_a_classifier_is_told(
    name: str, classifier: Classifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
    with pytest.raises(ConfigError, match="it holds no classifier"):
        load_model(str(tmp_path))
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match="it holds no classifier"):
        load_model(str(tmp_path))
