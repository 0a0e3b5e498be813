"""What probabilities are worth, by images that the model was not trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainable.inference.answering import Answering
from trainable.inference.calibration import (
    LEAST_IMAGES,
    NEVER_SURE,
    NONE,
    RATE,
    Calibration,
    calibrate,
    fit_temperature,
)
from trainable.inference.classifier import Classifier
from trainable.inference.exported import metadata, open_onnx, open_pt2, save_onnx, save_pt2
from trainable.inference.quantization import save_int8
from trainable.inference.spec import Spec
from trainable.judging.predictions import Predictions
from trainable.network.cut_network import build

CLASSES = tuple("abcde")


def honest(images: int, times: float = 1.0, seed: int = 0) -> Predictions:
    """Logits whose softmax is the distribution of the labels, multiplied by a factor."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, len(CLASSES), generator=draw) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=draw).squeeze(1)
    return Predictions(logits * times, labels)


def honest_labels(images: int, times: float = 1.0, seed: int = 0) -> Predictions:
    """The same of any number of labels, each with its sigmoid."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, len(CLASSES), generator=draw) * 8
    truth = torch.rand(logits.shape, generator=draw) < logits.sigmoid()
    labels = torch.zeros(images, dtype=torch.int64)
    return Predictions(logits * times, labels, truth)


def small(**more: object) -> Classifier:
    """A small classifier with random weights."""
    spec = Spec("resnet18", CLASSES, 16, 16, **more)
    return Classifier(spec, build("resnet18", num_classes=5, depth=0, seed=1).net.state_dict())


def some_pixels(count: int = 6) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, 16, 16), generator=draw, dtype=torch.uint8)


@pytest.mark.parametrize("times", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_what_logits_were_multiplied_by(times: float) -> None:
    assert fit_temperature(honest(4_000, times)) == pytest.approx(times, rel=0.1)


@pytest.mark.parametrize("times", [0.3, 1.0, 4.0])
def test_so_it_does_for_any_number_of_labels(times: float) -> None:
    assert fit_temperature(honest_labels(4_000, times)) == pytest.approx(times, rel=0.1)


@pytest.mark.parametrize("make", [honest, honest_labels])
def test_a_calibrated_models_error_is_lower_on_other_images_and_its_labels_are_the_same(
    make: Callable[..., Predictions],
) -> None:
    found = calibrate(make(2_000, 3.0))
    before = make(2_000, 3.0, seed=1)
    after = found.of(before)
    assert after.calibration_error() < before.calibration_error() / 3
    assert torch.equal(after.answers, before.answers)


def test_the_error_of_labels_is_that_of_each_of_them() -> None:
    truth = torch.tensor([[True, False]] * 6 + [[False, False]] * 4)
    logits = torch.tensor([[0.8, 0.1]]).logit().repeat(10, 1)
    found = Predictions(logits, torch.zeros(10, dtype=torch.int64), truth)
    assert found.calibration_error() == pytest.approx((0.2 + 0.1) / 2, abs=1e-6)


def test_an_answer_of_labels_is_as_sure_as_the_least_sure_of_them() -> None:
    val, test = honest_labels(6_000, 2.0), honest_labels(6_000, 2.0, seed=1)
    assert test.accuracy < RATE
    found = calibrate(val)
    assert 0.5 < found.unsure_below < 1
    sure = found.is_sure(test)
    assert test.at(sure).accuracy == pytest.approx(RATE, abs=0.03)
    least = np.maximum(p := found.of(test).probabilities, 1 - p).min(axis=1)
    assert (sure == (least >= found.unsure_below)).mean() > 0.999
    assert sure.mean() > 0.02


def test_a_model_that_made_no_mistake_is_not_certain_of_everything() -> None:
    right = Predictions(4 * torch.eye(5).repeat(10, 1), torch.arange(5).repeat(10))
    confidence = calibrate(right).of(right).probabilities.max()
    assert 0.95 < confidence < 0.999  # as if one in 51 were of any class


def test_sure_answers_are_right_at_the_stated_rate() -> None:
    val, test = honest(3_000, 2.0), honest(3_000, 2.0, seed=1)
    assert test.accuracy < RATE
    found = calibrate(val)
    assert 0 < found.unsure_below < 1
    assert val.at(found.is_sure(val)).accuracy >= RATE
    assert test.at(found.is_sure(test)).accuracy == pytest.approx(RATE, abs=0.02)
    assert found.is_sure(test).mean() > 0.1


def test_no_answer_is_unsure_where_all_are_right_often_enough() -> None:
    logits = torch.eye(2).repeat(50, 1) * torch.linspace(1, 3, 100)[:, None]
    labels = torch.tensor([0, 1]).repeat(50)
    labels[:5] = 1 - labels[:5]
    assert calibrate(Predictions(logits, labels)).unsure_below == 0
    labels[5] = 1 - labels[5]
    assert 0 < calibrate(Predictions(logits, labels)).unsure_below < 1


def test_every_answer_is_unsure_where_no_confidence_is_right_often_enough() -> None:
    labels = torch.randint(2, (200,), generator=torch.Generator().manual_seed(0))
    logits = torch.tensor([[30.0, 0.0]]).repeat(200, 1)
    found = calibrate(Predictions(logits, labels))
    assert found.unsure_below == NEVER_SURE
    assert not found.is_sure(Predictions(logits, labels)).any()


def test_answers_of_one_confidence_are_sure_together_or_not_at_all() -> None:
    logits = torch.tensor([[3.0, 0.0]] * 40 + [[2.0, 0.0]] * 40)
    labels = torch.tensor([0] * 40 + [0] * 30 + [1] * 10)
    found = calibrate(Predictions(logits, labels))
    sure = found.is_sure(Predictions(logits, labels))
    assert sure.tolist() == [True] * 40 + [False] * 40


def test_so_few_images_tell_nothing() -> None:
    assert calibrate(honest(LEAST_IMAGES - 1, 5.0)) is NONE
    assert calibrate(honest(LEAST_IMAGES, 5.0)).temperature > 1
    assert NONE.is_sure(honest(20)).all()
    assert calibrate(honest_labels(LEAST_IMAGES - 1, 5.0)) is NONE


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_a_classifier_answers_by_its_temperature(flips: bool, temperature: float) -> None:
    plain = small(flips=flips)
    images = some_pixels(40)
    before = plain.probabilities(images)
    after = plain.calibrated(temperature, 0.5).probabilities(images)
    expected = Calibration(temperature).of(
        Predictions(torch.from_numpy(before).log(), torch.zeros(40, dtype=torch.int64))
    )
    np.testing.assert_allclose(after, expected.probabilities, atol=1e-6)
    np.testing.assert_array_equal(after.argmax(1), before.argmax(1))
    assert plain.spec.temperature == 1


@pytest.mark.parametrize("flips", [False, True])
def test_so_does_one_of_several_labels(flips: bool) -> None:
    plain, images = small(flips=flips, several=True), some_pixels(40)
    before = plain.probabilities(images).astype(np.float64)
    after = plain.calibrated(2.5, 0.9).probabilities(images)
    odds = np.log(before / (1 - before)) / 2.5
    np.testing.assert_allclose(after, 1 / (1 + np.exp(-odds)), atol=1e-6)
    with torch.no_grad():
        pixels = images.float()
        expected = plain.network(pixels).sigmoid()
        if flips:
            expected = (expected + plain.network(pixels.flip(3)).sigmoid()) / 2
    np.testing.assert_array_equal(plain.probabilities(images), expected.numpy())
    rows = np.array([[0.95, 0.02, 0, 0, 0], [0.95, 0.2, 0, 0, 0]], np.float32)
    assert plain.calibrated(2.5, 0.9).unsure(rows).tolist() == [False, True]


def test_without_a_temperature_it_answers_to_the_last_bit_as_the_network() -> None:
    classifier, pixels = small(), some_pixels().float()
    with torch.no_grad():
        expected = classifier.network(pixels).softmax(1)
        assert torch.equal(Answering(classifier.network, flips=False)(pixels), expected)


def test_a_probability_of_nothing_stays_a_number() -> None:
    class Certain(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return torch.tensor([[500.0, 0.0, -500.0]]).repeat(len(pixels), 1)

    answer = Answering(Certain(), flips=True, temperature=3.0)(torch.zeros(2, 3, 4, 4))
    assert answer.isfinite().all()
    assert answer.sum(1).tolist() == pytest.approx([1, 1])


def test_it_is_stored_with_the_model(tmp_path: Path) -> None:
    classifier = small().calibrated(1.7, 0.6)
    classifier.save(tmp_path)
    again = Classifier.load(tmp_path)
    assert (again.spec.temperature, again.spec.unsure_below) == (1.7, 0.6)
    images = some_pixels()
    np.testing.assert_array_equal(again.probabilities(images), classifier.probabilities(images))
    np.testing.assert_array_equal(
        again.uncalibrated.probabilities(images), small().probabilities(images)
    )
    probabilities = np.array([[0.59, 0.41, 0, 0, 0], [0.61, 0.39, 0, 0, 0]], np.float32)
    assert again.unsure(probabilities).tolist() == [True, False]
    assert not again.unsure(probabilities[1])


def test_a_model_that_was_stored_without_it_is_not_calibrated_and_never_unsure(
    tmp_path: Path,
) -> None:
    small().save(tmp_path)
    path = tmp_path / "classifier.json"
    spec = json.loads(path.read_text())
    del spec["temperature"], spec["unsure_below"]
    path.write_text(json.dumps(spec))
    old = Classifier.load(tmp_path)
    np.testing.assert_array_equal(
        old.probabilities(some_pixels()), small().probabilities(some_pixels())
    )
    assert not old.unsure(old.probabilities(some_pixels())).any()


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature", 0), ("temperature", -1.5), ("temperature", 1e9), ("unsure_below", -0.1)],
)
def test_a_calibration_that_is_none_is_refused(key: str, value: float, tmp_path: Path) -> None:
    small().save(tmp_path)
    path = tmp_path / "classifier.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ValueError, match=rf"classifier.json: {key}={value}"):
        Classifier.load(tmp_path)


@pytest.mark.parametrize("several", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("flips", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_exported_file_answers_by_it_and_says_when_it_is_unsure(
    flips: bool, several: bool, tmp_path: Path
) -> None:
    classifier = small(flips=flips, several=several).calibrated(2.5, 0.625)
    path = tmp_path / "model.pt2"
    save_pt2(classifier, path)
    pixels = some_pixels()
    expected = classifier.probabilities(pixels)
    np.testing.assert_allclose(open_pt2(path)(pixels), expected, atol=1e-6)
    assert np.abs(expected - classifier.uncalibrated.probabilities(pixels)).max() > 0.01
    assert metadata(classifier.spec)["unsure_below"] == "0.625"


@pytest.mark.nightly
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("flips", [False, True])
def test_onnx_files_in_floats_and_in_integers_answer_by_it(
    flips: bool, several: bool, tmp_path: Path
) -> None:
    classifier = small(flips=flips, several=several).calibrated(2.5, 0.625)
    path, integers, pixels = tmp_path / "a.onnx", tmp_path / "b.onnx", some_pixels(40)
    save_onnx(classifier, path)
    save_int8(path, integers, pixels)
    expected = classifier.probabilities(pixels)
    np.testing.assert_allclose(open_onnx(path)(pixels), expected, atol=1e-6)
    np.testing.assert_allclose(open_onnx(integers)(pixels), expected, atol=0.01)


def test_a_temperature_is_finite_whatever_the_logits() -> None:
    for logits in (torch.zeros(50, 3), 1e4 * torch.eye(3)[torch.arange(50) % 3]):
        assert math.isfinite(fit_temperature(Predictions(logits, torch.arange(50) % 3)))
