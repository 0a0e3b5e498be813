"""The panels of the page, without a server or a registry."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.helpers.networks import random_state
from tests.helpers.results import dataset_of
from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from tune.models.lineage import Origin
from tune.webapp import panels
from tune.webapp.examples import HeldOut

NAMES = ("red", "round", "big", "old", "new")
ALWAYS = ("red", "big", "old", "new")
"""What the classifier says of each image."""
VERSION: Any = SimpleNamespace(name="photos", version="1", tags={"test_acc": "0.8"})


class Upload(io.BytesIO):
    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name = name


@pytest.fixture
def classifier() -> Classifier:
    """One that finds all labels but one in every image."""
    state = random_state(len(NAMES))
    state["fc.weight"].zero_()
    state["fc.bias"].copy_(torch.tensor([2.0, -3.0, 1.0, 3.0, 0.5]))
    return Classifier(Spec("resnet18", NAMES, 8, 16, several=True, unsure_below=0.7), state)


@pytest.fixture
def held_out() -> HeldOut:
    split = dataset_of(NAMES, images=1, side=8).test
    targets = np.tile(np.array([name in ALWAYS for name in NAMES], np.uint8), (len(split), 1))
    targets[1] = 0
    return HeldOut(replace(split, targets=targets), NAMES)


def show() -> None:
    """What a script of Streamlit's runs."""
    from tests.tune.webapp.test_panels import VERSION  # noqa: PLC0415, it runs by itself
    from tune.webapp import panels  # noqa: PLC0415

    panels.show(VERSION, is_champion=True)


@pytest.fixture
def page(classifier: Classifier, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    truth = held_out.split.truth
    assert truth is not None
    test = Predictions(
        torch.tensor([[2.0, -3, 1, 3, 0.5]] * len(truth)), held_out.split.labels, truth
    )
    found: dict[str, Any] = {
        "_classifier": classifier,
        "_origin": Origin("first", Objective.named("val_map"), (), test),
        "_held_out": held_out,
    }
    for name, value in found.items():
        monkeypatch.setattr(panels, name, lambda *_, value=value: value)
    app = AppTest.from_function(show)
    app.session_state["examples"] = panels._RANDOM
    return app


def test_of_several_labels_each_that_an_image_has_is_shown(page: AppTest) -> None:
    page.run(timeout=60)

    assert not page.exception
    assert not page.warning
    shown = [each.value for each in page.markdown]
    assert "5 classes" in shown[0]
    right = [line for line in shown if ":green-badge[right]" in line]
    wrong = [line for line in shown if ":red-badge[" in line]
    assert len(right) == 4
    assert len(wrong) == 1
    assert ":red-badge[it is without a label]" in wrong[0]
    assert all(":orange[unsure]" in line for line in [*right, *wrong])
    bars = [bar.proto.text for bar in page.get("progress")]
    assert bars[:4] == ["old · 95.3%", "red · 88.1%", "big · 73.1%", "new · 62.2%"]
    assert len(bars) == 4 * 5


def test_of_several_labels_the_search_has_no_confusion(page: AppTest) -> None:
    page.session_state["tab"] = "Its search"
    page.run(timeout=60)

    assert not page.exception
    assert [each.value for each in page.subheader] == ["Learning curves of 0 trials"]


def test_an_image_is_taken_whatever_it_is_called(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (20, 20)).save(jpeg, "JPEG")
    files = [Upload("scan", jpeg.getvalue()), Upload("photo.dat", jpeg.getvalue())]
    asked: list[object] = []
    refused: list[str] = []

    def uploader(_: str, types: object, **__: object) -> list[Upload]:
        asked.append(types)
        return [*files, Upload("words.jpg", b"words")]

    monkeypatch.setattr(panels.st, "file_uploader", uploader)
    monkeypatch.setattr(panels.st, "error", refused.append)

    assert [picture.name for picture in panels._uploads(classifier)] == ["scan", "photo.dat"]
    assert asked == [None]
    assert len(refused) == 1
    assert "words" in refused[0]
