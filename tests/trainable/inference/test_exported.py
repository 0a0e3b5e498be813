"""Files for other programs: what is in them, and what they answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from trainable.inference.classifier import Classifier
from trainable.inference.exported import Runner, open_onnx, open_pt2, save_onnx, save_pt2
from trainable.inference.quantization import save_int8
from trainable.inference.spec import Spec
from trainable.network.cut_network import build

CLASSES = (*"012345678", 'nine, "9"')
METADATA = {
    "arch": "resnet18",
    "classes": json.dumps(CLASSES),
    "stored_side": "32",
    "image_size": "32",
    "unsure_below": "0.0",
    "several": "false",
}


@pytest.fixture(scope="module")
def classifier(pretrained: dict[str, Tensor]) -> Classifier:
    return Classifier(Spec("resnet18", CLASSES, 32, 32), pretrained)


@pytest.fixture(scope="module")
def onnx_file(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    save_onnx(classifier, path)
    return path


@pytest.fixture(scope="module")
def pt2_file(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "model.pt2"
    save_pt2(classifier, path)
    return path


@pytest.fixture(scope="module")
def int8_file(onnx_file: Path, pixels: Tensor) -> Path:
    path = onnx_file.with_name("int8.onnx")
    save_int8(onnx_file, path, pixels)
    return path


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("form", [pytest.param("onnx", marks=pytest.mark.slow), "pt2"])
def test_a_float_file_answers_as_the_classifier_for_any_number_of_images(
    form: str, classifier: Classifier, pixels: Tensor, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(f"{form}_file")
    runner: Runner = {"onnx": open_onnx, "pt2": open_pt2}[form](path)

    for count in (1, 2, 40):
        found = runner(pixels[:count])

        assert found.shape == (count, 10)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, classifier.probabilities(pixels[:count]), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_network_with_a_stem_for_small_images_is_written_too(
    form: str, pixels: Tensor, tmp_path: Path
) -> None:
    weights = build("resnet18_3x3", num_classes=10, depth=0, seed=3).net.state_dict()
    classifier = Classifier(Spec("resnet18_3x3", CLASSES, 32, 32), weights)
    {"onnx": save_onnx, "pt2": save_pt2}[form](classifier, tmp_path / form)
    runner: Runner = {"onnx": open_onnx, "pt2": open_pt2}[form](tmp_path / form)
    expected = classifier.probabilities(pixels)
    assert expected.std(axis=0).min() > 1e-6, "images differ"
    np.testing.assert_allclose(runner(pixels), expected, atol=1e-5)


@pytest.mark.slow
def test_an_int8_file_answers_nearly_as_the_classifier(
    classifier: Classifier, int8_file: Path, pixels: Tensor
) -> None:
    found = open_onnx(int8_file)(pixels)
    expected = classifier.probabilities(pixels)
    assert found.shape == (40, 10)
    assert np.abs(found - expected).max() < 0.1


@pytest.mark.slow
def test_an_int8_file_multiplies_bytes_and_has_a_scale_for_each_channel(
    int8_file: Path, onnx_file: Path
) -> None:
    graph = onnx.load(int8_file).graph
    made_by = {name: node for node in graph.node for name in node.output}
    sizes = {value.name: list(value.dims) for value in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 20
    for node in convolutions:
        weight, image = made_by[node.input[1]], made_by[node.input[0]]
        assert (weight.op_type, image.op_type) == ("DequantizeLinear",) * 2
        assert sizes[weight.input[1]] == sizes[weight.input[0]][:1]
    assert int8_file.stat().st_size < onnx_file.stat().st_size / 3.5


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "int8"])
def test_an_onnx_file_tells_its_input_and_its_classes(
    form: str, request: pytest.FixtureRequest
) -> None:
    session = onnxruntime.InferenceSession(request.getfixturevalue(f"{form}_file"))
    (taken,), (given) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("pixels", "tensor(uint8)", [3, 32, 32])
    assert isinstance(taken.shape[0], str)
    assert (given[0].name, given[0].shape[1]) == ("probabilities", 10)
    found = session.get_modelmeta().custom_metadata_map
    assert found.items() >= METADATA.items()


def test_a_pt2_file_tells_its_classes(pt2_file: Path) -> None:
    found = dict.fromkeys(METADATA, "")
    torch.export.load(pt2_file, extra_files=found)
    assert found == METADATA


def test_an_onnx_file_is_one_file(onnx_file: Path, int8_file: Path) -> None:
    for path in (onnx_file, int8_file):
        model = onnx.load(path, load_external_data=False)
        assert not any(value.external_data for value in model.graph.initializer)


@pytest.mark.slow
def test_the_mean_of_both_answers_is_taken_of_floats(
    pretrained: dict[str, Tensor], pixels: Tensor, tmp_path: Path
) -> None:
    flipping = Classifier(Spec("resnet18", CLASSES, 32, 32, flips=True), pretrained)
    save_onnx(flipping, tmp_path / "model.onnx")
    save_int8(tmp_path / "model.onnx", tmp_path / "int8.onnx", pixels)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    given: set[str] = set()
    after = []
    for node in graph.node:
        if node.op_type == "Softmax" or given.intersection(node.input):
            given.update(node.output)
            after.append(node.op_type)
    assert "Add" in after
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(after)
    found, expected = open_onnx(tmp_path / "int8.onnx")(pixels), flipping.probabilities(pixels)
    assert np.abs(found - expected).max() < 0.1
