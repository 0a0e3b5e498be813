"""What a classifier answers to an image, and where in the image its answer comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.sizes import fit
from trainable.inference.classifier import Classifier

_COLOURS: Final = colormaps["inferno"]
_STRONGEST: Final = 0.65
"""Share of the colour where the heat is 1: the image stays to be seen."""

_HOOKED: Final = Lock()
"""Captum hooks into the layer, which all threads share: no other may pass it meanwhile."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """A classifier's answer to an image.

    Attributes:
        answers: The likeliest classes and their probabilities, the likeliest first; of several
            labels all those that it has at least.
        seen: The image as the network sees it: uint8 of shape (S, S, 3).
        heat: What speaks for the first answer, by place, 0 to 1: float32 of shape (C, C), C being
            the side of the explained layer's output. All 0 where nothing there does.
        unsure: Whether the first answer is unsure.
        label: What is said of the image, as :meth:`Classifier.answer` has it.
    """

    answers: tuple[tuple[str, float], ...]
    seen: NDArray[np.uint8]
    heat: NDArray[np.float32]
    unsure: bool = False
    label: str = ""

    def overlay(self) -> NDArray[np.uint8]:
        """The image under its heat: uint8 of shape (S, S, 3)."""
        cells = torch.from_numpy(self.heat)[None, None]
        heat = LayerAttribution.interpolate(cells, self.seen.shape[:2], "bilinear")[0, 0].numpy()
        share = _STRONGEST * heat[..., None]
        mixed = (1 - share) * self.seen + share * 255 * _COLOURS(heat)[..., :3]
        return mixed.astype(np.uint8)


def explain(classifier: Classifier, images: Tensor, count: int = 5) -> list[Explanation]:
    """Label images, and say where the labels come from.

    Args:
        classifier: The model.
        images: uint8 of shape (N, 3, R, R).
        count: Of the answers kept; where an image may have any number of labels, at least.
    """
    seen = fit(images, classifier.spec.image_size)
    with _HOOKED:
        probabilities = classifier.probabilities(images)
        best = (-probabilities).argsort(axis=1, kind="stable")
        heats = grad_cam(classifier, seen, best[:, 0].tolist())
    names, several = classifier.spec.classes, classifier.spec.several
    counts = np.maximum((probabilities > 1 / 2).sum(axis=1) * several, count)
    return [
        Explanation(
            tuple((names[index], float(row[index])) for index in order[:kept]),
            picture.permute(1, 2, 0).numpy(),
            heat,
            bool(unsure),
            classifier.answer(row)[0],
        )
        for row, order, kept, picture, heat, unsure in zip(
            probabilities,
            best,
            counts,
            seen,
            heats,
            classifier.unsure(probabilities),
            strict=True,
        )
    ]


def grad_cam(classifier: Classifier, images: Tensor, targets: Sequence[int]) -> NDArray[np.float32]:
    """Grad-CAM (Selvaraju et al. 2017) on the layer that the network's family names for it.

    Args:
        classifier: The model; no other thread may use its network meanwhile.
        images: uint8 of shape (N, 3, S, S).
        targets: The class to be explained, for each image.

    Returns:
        float32 of shape (N, C, C), each image's strongest place being 1.
    """
    pixels = images.float().requires_grad_()
    method = LayerGradCam(classifier.network, classifier.heat_layer)
    heats = method.attribute(pixels, torch.tensor(targets), relu_attributions=True)
    heats = heats.detach().squeeze(1)
    peaks = heats.amax((1, 2), keepdim=True)
    return torch.where(peaks > 0, heats / peaks, 0).numpy()
