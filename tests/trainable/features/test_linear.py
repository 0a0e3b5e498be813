"""Heads that are fitted to features as linear classifiers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainable.features.linear import head_of_several

COUNT, LABELS = 300, 4


@pytest.fixture(scope="module")
def inputs() -> NDArray[np.float32]:
    """Features of unlike means and spreads."""
    draw = np.random.default_rng(0)
    found = draw.normal(size=(COUNT, 20)) * np.geomspace(0.1, 3, 20) + np.arange(20) / 5
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def targets(inputs: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Labels that lie in the features, of which some images have none and some all."""
    draw = np.random.default_rng(1)
    centred = (inputs - inputs.mean(0)) / inputs.std(0)
    odds = centred @ draw.normal(size=(20, LABELS)) + draw.normal(size=(COUNT, LABELS))
    return (odds > (2, 0, -1, 4)).astype(np.uint8)


def test_a_head_of_several_labels_is_one_against_the_rest(
    inputs: NDArray[np.float32], targets: NDArray[np.uint8]
) -> None:
    """The same as scikit-learn's own, which has no weights of images for each label."""
    weight, bias = head_of_several(inputs, targets, np.ones(targets.shape))
    each = LogisticRegression(C=0.1, max_iter=200)
    reference = make_pipeline(StandardScaler(), OneVsRestClassifier(each)).fit(inputs, targets)
    expected = reference.predict_proba(inputs)
    np.testing.assert_allclose(expit(inputs @ weight.T + bias), expected, atol=1e-5)
    assert {0, LABELS} <= set(targets.sum(1).tolist())


def test_weights_of_images_count_as_so_many_copies(
    inputs: NDArray[np.float32], targets: NDArray[np.uint8]
) -> None:
    """Of the label that they are of: the other heads are as without them."""
    plain = np.ones(targets.shape)
    heavy = plain.copy()
    heavy[:, 0] += 2 * targets[:, 0]
    expected, before = (head_of_several(inputs, targets, each) for each in (heavy, plain))
    odds, odds_before = (inputs @ weight.T + bias for weight, bias in (expected, before))
    has = targets[:, 0] == 1
    assert odds[has, 0].mean() > odds_before[has, 0].mean() + 0.3
    np.testing.assert_array_equal(odds[:, 1:], odds_before[:, 1:])


@pytest.mark.parametrize(("has", "odds"), [(0, 0.5 / 300.5), (1, 300.5 / 0.5)])
def test_a_label_of_no_image_or_of_all_starts_as_its_share(
    inputs: NDArray[np.float32], targets: NDArray[np.uint8], has: int, odds: float
) -> None:
    uniform = targets.copy()
    uniform[:, 2] = has
    weight, bias = head_of_several(inputs, uniform, np.ones(targets.shape))
    assert not weight[2].any()
    assert np.exp(bias[2]) == pytest.approx(odds)
