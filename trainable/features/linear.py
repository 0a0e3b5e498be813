"""Linear classifiers that are fitted to features: of one label an image, or of any number."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_STEPS: Final = 200
"""The steps of the classifier's optimizer, after which it is good enough to compare by."""

Floats = NDArray[np.floating]


def fitted(
    inputs: NDArray[np.float32], labels: NDArray[np.int64], weights: Floats | None = None
) -> Pipeline:
    """A classifier that is fitted to features, which it scales, of images that may have weights."""
    # Slow to import, and for what asks for it alone.
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=_STEPS))
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        if weights is None:
            return classifier.fit(inputs, labels)
        return classifier.fit(inputs, labels, logisticregression__sample_weight=weights)


def head_of_one(
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    weights: Floats | None = None,
) -> tuple[Floats, Floats]:
    """The classifier as a head whose softmax it is.

    Args:
        inputs: Features of shape (n, C).
        labels: Of shape (n,), at least two of them.
        classes: The head's. One without an image is never the answer.
        weights: What each image counts, of shape (n,); None is 1.

    Returns:
        Weight (classes, C) and bias (classes,).
    """
    classifier = fitted(inputs, labels, weights)
    coefficients, offsets = _unscaled(classifier)
    if len(coefficients) == 1:  # of two classes: the logit of the second
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        offsets = np.concatenate([-offsets, offsets]) / 2
    weight, bias = np.zeros((classes, inputs.shape[1])), np.full(classes, offsets.min())
    known = classifier[-1].classes_
    weight[known], bias[known] = coefficients, offsets
    return weight, bias


def head_of_several(
    inputs: NDArray[np.float32], targets: NDArray[np.uint8], weights: Floats
) -> tuple[Floats, Floats]:
    """The same for images with any number of labels: a classifier a label, one against the rest.

    Of a label that all images have, or none, the answer is the share of these that have it, as if
    one more image had half of it.

    Args:
        inputs: Features of shape (n, C).
        targets: Which labels each image has, of shape (n, classes).
        weights: What each image counts for each label, of shape (n, classes).

    Returns:
        Weight (classes, C) and bias (classes,): logits of each label.
    """
    count, classes = targets.shape
    weight, bias = np.zeros((classes, inputs.shape[1])), np.zeros(classes)
    for label, has in enumerate(targets.astype(np.int64).T):
        having = int(has.sum())
        if 0 < having < count:
            coefficients, offsets = _unscaled(fitted(inputs, has, weights[:, label]))
            weight[label], bias[label] = coefficients[0], offsets[0]
        else:
            bias[label] = math.log((having + 0.5) / (count - having + 0.5))
    return weight, bias


def _unscaled(classifier: Pipeline) -> tuple[Floats, Floats]:
    """What a classifier multiplies features by as they come, and adds."""
    scaler, linear = classifier.named_steps.values()
    coefficients = linear.coef_ / scaler.scale_
    return coefficients, linear.intercept_ - coefficients @ scaler.mean_
