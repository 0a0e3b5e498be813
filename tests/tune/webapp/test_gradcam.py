"""Answers, and where in the image they come from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18

from tests.helpers.networks import random_state
from tests.helpers.plugins import use_plugin
from trainable.data.sizes import fit
from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec
from trainable.network.cut_network import build
from tune.webapp.gradcam import explain, grad_cam

SIDE = 96
"""Of which layer4 makes 3 by 3 places."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        weights = resnet18(num_classes=7).state_dict()
    return Classifier(Spec("resnet18", tuple("abcdefg"), 24, SIDE), weights)


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("arch", "side", "width"), [("resnet18", SIDE, 3), ("resnet18_3x3", 32, 4)]
)
def test_heat_is_what_the_heads_weights_make_of_the_last_stage(
    arch: str, side: int, width: int, classifier: Classifier, images: Tensor
) -> None:
    """With a head on averages, Grad-CAM is CAM (Selvaraju et al. 2017, section 3.1)."""
    if arch != "resnet18":
        weights = build(arch, num_classes=7, depth=0, seed=3).net.state_dict()
        classifier = Classifier(Spec(arch, tuple("abcdefg"), side, side), weights)
    images = images[..., :side, :side]
    *_, head = classifier.network
    places = torch.nn.Sequential(*list(classifier.network)[:-3])(images)
    targets = [0, 1, 2, 3, 4]
    cam = torch.einsum("nc,nchw->nhw", head.weight[targets], places).relu()
    expected = (cam / cam.amax((1, 2), keepdim=True)).detach().numpy()

    heats = grad_cam(classifier, images, targets)

    assert heats.shape == (5, width, width)
    np.testing.assert_allclose(heats, np.nan_to_num(expected), atol=1e-4)
    assert heats.max(axis=(1, 2)).tolist() == [0, 1, 1, 1, 1]  # nothing speaks for the first


def test_another_family_names_its_own_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plugin("tests.helpers.plugins.small_net", monkeypatch)
    weights = build("small", num_classes=3, depth=0, seed=6).net.state_dict()
    classifier = Classifier(Spec("small", tuple("abc"), 16, 24), weights)
    image = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    image[..., :8] = 255
    layer = classifier.network[5]  # after the normalization and four stages
    places = layer(torch.nn.Sequential(*classifier.network[:5])(fit(image, 24)))

    (explanation,) = explain(classifier, image)

    assert explanation.heat.shape == places.shape[2:] == (3, 3)
    assert explanation.heat.max() == 1
    target = "abc".index(explanation.answers[0][0])
    cam = torch.einsum("c,nchw->nhw", classifier.network[-1].weight[target], places).relu()[0]
    np.testing.assert_allclose(explanation.heat, (cam / cam.max()).detach(), atol=1e-4)


def test_where_nothing_speaks_for_a_class_there_is_no_heat(
    classifier: Classifier, images: Tensor
) -> None:
    other = Classifier(classifier.spec, resnet18(num_classes=7).state_dict())
    other.network.load_state_dict(classifier.network.state_dict())
    with torch.no_grad():
        other.network[-1].weight[2] = -1  # what leaves layer4 is not negative

    assert (grad_cam(other, images, [2] * 5) == 0).all()


def test_answers_are_the_likeliest_first(classifier: Classifier, images: Tensor) -> None:
    probabilities = classifier.probabilities(images)

    explanations = explain(classifier, images, 3)

    for explanation, row in zip(explanations, probabilities, strict=True):
        names, values = zip(*explanation.answers, strict=True)
        assert list(values) == sorted(row.tolist(), reverse=True)[:3]
        assert names == tuple("abcdefg"[row.tolist().index(value)] for value in values)


def test_there_are_no_more_answers_than_classes(classifier: Classifier, images: Tensor) -> None:
    (explanation,) = explain(classifier, images[:1], 20)

    assert len(explanation.answers) == 7


def test_it_shows_the_image_at_the_size_the_network_sees(classifier: Classifier) -> None:
    (explanation,) = explain(classifier, torch.full((1, 3, 24, 24), 80, dtype=torch.uint8))

    assert explanation.seen.shape == (SIDE, SIDE, 3)
    assert (explanation.seen == 80).all()


def test_the_overlay_colours_what_is_hot_and_leaves_the_rest(
    classifier: Classifier, images: Tensor
) -> None:
    (explanation,) = explain(classifier, images[:1])
    explanation.heat[:] = [[0, 0, 0], [0, 0, 0], [0, 0, 1]]

    overlay = explanation.overlay()

    assert overlay.shape == explanation.seen.shape
    assert overlay.dtype == np.uint8
    np.testing.assert_array_equal(overlay[:32, :32], explanation.seen[:32, :32])
    assert (overlay[-10:, -10:] != explanation.seen[-10:, -10:]).any(axis=2).all()


@pytest.mark.slow
def test_visitors_at_the_same_time_get_their_own_heat(
    classifier: Classifier, images: Tensor
) -> None:
    """The layer, and captum's hooks on it, are everybody's."""
    alone = [explain(classifier, image[None])[0].heat for image in images]

    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda n: explain(classifier, images[n % 5][None])[0].heat, range(40))
        )

    for number, heat in enumerate(together):
        np.testing.assert_allclose(heat, alone[number % 5], atol=1e-4)


def test_an_answer_says_whether_it_is_unsure(classifier: Classifier, images: Tensor) -> None:
    confidence = classifier.probabilities(images).max(1)
    middle = float(sorted(confidence)[2])
    found = explain(classifier.calibrated(1.0, middle), images)
    assert [each.unsure for each in found] == (confidence < middle).tolist()
    assert sum(each.unsure for each in found) == 2
    assert not any(each.unsure for each in explain(classifier, images))


def test_of_several_labels_all_that_an_image_has_are_answers(
    classifier: Classifier, images: Tensor
) -> None:
    state = random_state(7)
    state["fc.weight"].zero_()
    state["fc.bias"].copy_(torch.tensor([3.0, -1.0, 2.0, 1.0, -2.0, 4.0, -3.0]))
    several = Classifier(replace(classifier.spec, several=True), state)

    (found,) = explain(several, images[:1], count=3)
    assert [name for name, _ in found.answers] == ["f", "a", "c", "d"]
    state["fc.bias"].sub_(3.5)
    (found,) = explain(Classifier(several.spec, state), images[:1], count=3)
    assert [name for name, _ in found.answers] == ["f", "a", "c"]
    assert found.label == "f"
