"""The model that a command works with, by its name."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import Tensor
from torchvision.models import resnet18

from tests.helpers.searches import FinishedSearch
from trainable.inference.classifier import Classifier, Spec
from tune.errors import ConfigError
from tune.models.lookup import load_model

PIXELS = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return resnet18(num_classes=2).state_dict()


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


@pytest.mark.parametrize("given", [None, "models:/resnet18-digits@champion"])
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


def test_an_empty_folder_is_left_empty(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow.set_tracking_uri(None)
    with pytest.raises(ConfigError, match=r"no model is registered here: python -m tune\.search"):
        load_model(None)
    assert list(in_tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("models:/resnet18-digits@challenger", "--model models:/resnet18-digits@challenger: "),
        ("models:/resnet18-digits/7", "--model models:/resnet18-digits/7: "),
        ("models:/other@champion", "--model models:/other@champion: "),
        ("models:/resnet18-digits", "is written models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/resnet18-digits/latest", "is written models:/NAME@ALIAS"),
        ("nowhere", "--model nowhere: no such folder; give one, imagenet, or models:/NAME@"),
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
    "content",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps({**SPEC, "image_size": "large"}).encode(),
        json.dumps({**SPEC, "arch": "vit_b_16"}).encode(),
        json.dumps({**SPEC, "arch": "abc"}).encode(),
        json.dumps({**SPEC, "arch": "resnet34"}).encode(),
        json.dumps({**SPEC, "classes": ["ants"]}).encode(),
        json.dumps({**SPEC, "classes": 2}).encode(),
    ],
)
def test_a_folder_without_a_classifier_is_told_in_one_line(
    content: bytes, classifier: Classifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    (tmp_path / "classifier.json").write_bytes(content)
    with pytest.raises(ConfigError, match="it holds no classifier") as caught:
        load_model(str(tmp_path))
    assert "\n" not in str(caught.value)


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
