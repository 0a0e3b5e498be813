"""A finished model labels files, and is stored without code."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open

from trainable.config import TrialConfig
from trainable.data.decoding.image_file import ImageError
from trainable.device import Device, resolve_device
from trainable.finetuner import FineTuner
from trainable.inference.classifier import Classifier

TinyConfig = Callable[..., TrialConfig]


@pytest.fixture(scope="module")
def tuner(tiny: TinyConfig) -> FineTuner:
    """A trial on digits, trained a little, which the tests leave as it is."""
    device = resolve_device("fp32", 1, use_gpu=False)
    tuner = FineTuner(tiny(data={"limit": 100}, model={"unfreeze_depth": 1}), device)
    tuner.train_epoch()
    tuner.train_epoch()
    return tuner


@pytest.fixture(scope="module")
def classifier(tuner: FineTuner) -> Classifier:
    return tuner.classifier()


@pytest.fixture
def beginner(tiny: TinyConfig, device: Device) -> FineTuner:
    """A trial that has not been trained yet."""
    return FineTuner(tiny(data={"limit": 100}, model={"unfreeze_depth": 1}), device)


def png(side: int, brightness: int = 255) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (brightness,) * 3).save(buffer, "png")
    buffer.seek(0)
    return buffer


class TestAnswers:
    def test_they_are_those_of_the_trial(self, tuner: FineTuner, classifier: Classifier) -> None:
        test = tuner.dataset.test

        probabilities = classifier.probabilities(test.images)

        expected = tuner.evaluate("test")
        np.testing.assert_array_equal(probabilities.argmax(1), expected.logits.argmax(1))
        np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-4)

    def test_they_are_probabilities_of_each_class(
        self, tuner: FineTuner, classifier: Classifier
    ) -> None:
        probabilities = classifier.probabilities(tuner.dataset.val.images)

        assert probabilities.shape == (len(tuner.dataset.val), 10)
        assert probabilities.dtype == np.float32
        assert probabilities.min() >= 0
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)

    def test_an_images_answer_does_not_depend_on_its_company(
        self, tuner: FineTuner, classifier: Classifier
    ) -> None:
        images = tuner.dataset.val.images

        alone = classifier.probabilities(images[3:4])

        np.testing.assert_allclose(alone, classifier.probabilities(images)[3:4], atol=1e-5)

    def test_they_stay_when_the_trial_goes_on(self, beginner: FineTuner, tmp_path: Path) -> None:
        images, classifier = beginner.dataset.val.images, beginner.classifier()
        before = classifier.probabilities(images)

        beginner.train_epoch()
        classifier.save(tmp_path)

        np.testing.assert_array_equal(classifier.probabilities(images), before)
        np.testing.assert_array_equal(Classifier.load(tmp_path).probabilities(images), before)


class TestStorage:
    def test_a_stored_classifier_gives_the_same_probabilities(
        self, tuner: FineTuner, classifier: Classifier, tmp_path: Path
    ) -> None:
        images = tuner.dataset.test.images
        classifier.save(tmp_path / "new" / "model")

        loaded = Classifier.load(tmp_path / "new" / "model")

        np.testing.assert_array_equal(
            loaded.probabilities(images), classifier.probabilities(images)
        )
        assert loaded.spec == classifier.spec

    def test_only_tensors_and_text_are_written(
        self, classifier: Classifier, tmp_path: Path
    ) -> None:
        classifier.save(tmp_path)

        assert {path.name for path in tmp_path.iterdir()} == {
            "classifier.json",
            "model.safetensors",
            "seen.safetensors",
        }
        assert json.loads((tmp_path / "classifier.json").read_text()) == {
            "arch": "resnet18",
            "classes": list("0123456789"),
            "stored_side": 8,
            "image_size": 16,
            "flips": False,
            "temperature": 1.0,
            "unsure_below": 0.0,
            "several": False,
        }
        with safe_open(tmp_path / "model.safetensors", "pt") as tensors:
            assert "fc.weight" in tensors.keys()  # noqa: SIM118

    def test_saving_again_replaces_what_was_there(
        self, beginner: FineTuner, tmp_path: Path
    ) -> None:
        beginner.classifier().save(tmp_path)
        beginner.train_epoch()
        beginner.classifier().save(tmp_path)

        images = beginner.dataset.val.images
        np.testing.assert_array_equal(
            Classifier.load(tmp_path).probabilities(images),
            beginner.classifier().probabilities(images),
        )

    def test_code_in_place_of_weights_is_not_run(
        self, classifier: Classifier, tmp_path: Path
    ) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "sprung"),)

        classifier.save(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Trap()))

        with pytest.raises(SafetensorError):
            Classifier.load(tmp_path)
        assert not (tmp_path / "sprung").exists()


class TestReading:
    def test_a_file_is_read_as_the_training_images_were(
        self,
        tiny: TinyConfig,
        device: Device,
        tmp_path: Path,
        write_classes: Callable[..., Path],
    ) -> None:
        for name, count in {"train": 10, "val": 4, "test": 3}.items():
            write_classes(tmp_path / name, {"ants": count, "bees": count}, (40, 30), "jpg")
        data = {"source": "image_folder", "root": tmp_path, "limit": None}
        tuner = FineTuner(tiny(data=data), device)

        images = tuner.classifier().read(tuner.dataset.test.files)

        assert images.shape == (6, 3, 18, 18)
        assert torch.equal(images, tuner.dataset.test.images)
        np.testing.assert_allclose(
            tuner.classifier().probabilities(images),
            tuner.evaluate("test").probabilities,
            atol=1e-5,
        )

    def test_uploads_of_any_size_are_read(self, classifier: Classifier) -> None:
        images = classifier.read([png(30), png(8, 0)])

        assert images.shape == (2, 3, 8, 8)
        assert images.dtype == torch.uint8
        assert (images[0].min(), images[1].max()) == (255, 0)

    def test_an_upload_that_is_no_image_is_refused(self, classifier: Classifier) -> None:
        with pytest.raises(ImageError, match="the upload cannot be read"):
            classifier.read([png(8), io.BytesIO(b"words")])
