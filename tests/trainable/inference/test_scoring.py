"""A classifier is scored on what it would be served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from trainable.config import DataConfig
from trainable.data.datasets import Dataset, Split, load_dataset
from trainable.data.decoding.image_file import ImageError
from trainable.inference.classifier import Classifier
from trainable.inference.labelling import label
from trainable.inference.scoring import score
from trainable.inference.spec import Spec

CLASSES = ("ants", "bees", "wasps")


@pytest.fixture(scope="module")
def large() -> Classifier:
    """A model that is served images of 48 pixels."""
    torch.manual_seed(0)
    weights = resnet18(num_classes=3).state_dict()
    return Classifier(Spec("resnet18", CLASSES, 55, 48), weights)


@pytest.fixture
def dataset(tmp_path: Path, write_classes: Callable[..., Path], no_cached_data: None) -> Dataset:
    """Photographs of 60 x 50 pixels, stored at 18 for another model."""
    root = write_classes(tmp_path / "photos", dict.fromkeys(CLASSES, 20), size=(60, 50), kind="png")
    return load_dataset(
        DataConfig.model_validate({"source": "image_folder", "root": root, "image_size": 16})
    )


def served(classifier: Classifier, split: Split) -> np.ndarray:
    """The probabilities that the files of a split get from `tune.predict`."""
    return np.stack([answer.probabilities for answer in label(classifier, split.files)])


def test_it_answers_as_to_the_files_themselves(large: Classifier, dataset: Dataset) -> None:
    found = score(large, dataset.test, dataset.classes)
    expected = served(large, dataset.test)
    assert np.array_equal(found.logits.exp().float().numpy().argmax(1), expected.argmax(1))
    np.testing.assert_allclose(found.logits.exp(), expected, rtol=1e-5)
    assert torch.equal(found.labels, dataset.test.labels)


def test_a_large_model_is_not_shown_enlarged_small_images(
    large: Classifier, dataset: Dataset
) -> None:
    enlarged = large.probabilities(dataset.test.images)
    assert np.abs(served(large, dataset.test) - enlarged).max() > 1e-4


def test_what_has_no_files_is_shown_as_a_file_of_it_would_be(large: Classifier) -> None:
    images = torch.randint(256, (5, 3, 20, 20), dtype=torch.uint8)
    found = score(large, Split(images, torch.zeros(5, dtype=torch.long)), CLASSES)
    assert found.logits.shape == (5, 3)
    side = Classifier(Spec("resnet18", CLASSES, 20, 48), resnet18(num_classes=3).state_dict())
    same = score(side, Split(images, torch.zeros(5, dtype=torch.long)), CLASSES)
    np.testing.assert_allclose(same.logits.exp(), side.probabilities(images), rtol=1e-5)


def test_classes_in_another_order_are_put_into_that_of_the_images(
    large: Classifier, dataset: Dataset
) -> None:
    there = score(large, dataset.test, dataset.classes)
    back = score(large, dataset.test, dataset.classes[::-1])
    assert torch.equal(there.logits, back.logits.flip(1))
    with pytest.raises(ValueError, match="other classes"):
        score(large, dataset.test, ("a", "b", "c"))


def test_a_file_that_is_gone_is_named(large: Classifier, dataset: Dataset) -> None:
    dataset.test.files[3].unlink()
    with pytest.raises(ImageError, match=dataset.test.files[3].name):
        score(large, dataset.test, dataset.classes)


def test_it_computes_with_all_cores_and_leaves_the_threads_as_they_were(
    large: Classifier, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    real = Classifier.probabilities

    def noted(self: Classifier, images: torch.Tensor) -> np.ndarray:
        used.append(torch.get_num_threads())
        return real(self, images)

    monkeypatch.setattr(Classifier, "probabilities", noted)
    monkeypatch.setattr("trainable.inference.scoring.available_cores", lambda: 3)
    torch.set_num_threads(1)
    score(large, dataset.test, dataset.classes)
    assert set(used) == {3}
    assert torch.get_num_threads() == 1


def test_a_file_that_has_changed_is_named_and_not_scored(
    large: Classifier, dataset: Dataset
) -> None:
    changed, other = dataset.test.files[3], dataset.test.files[4]
    changed.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=rf"{changed.name} has changed since the images were"):
        score(large, dataset.test, dataset.classes)
